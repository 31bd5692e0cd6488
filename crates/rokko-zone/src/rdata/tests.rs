use super::*;

#[test]
fn address() {
    assert_eq!(&*from_text(Rtype::A, "192.0.2.1", None).unwrap(), [192, 0, 2, 1]);
}
