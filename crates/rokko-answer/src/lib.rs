//! From a catalog and the bytes of a query to the bytes of a response.
