//! A small assembler of eBPF: typed instructions, labels for forward jumps.
//!
//! Only what the redirect program needs. An instruction has eight octets: operation, registers, offset, immediate (RFC 9669
//! §3).

/// A register. The first argument of the program and of a function is in R1, a result in R0, the end of the stack in R10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R10 = 10,
}

/// How much a load or store moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Size {
    Word = 0x00,
    Half = 0x08,
    Byte = 0x10,
    Double = 0x18,
}

/// When a jump against a constant is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum If {
    Equal = 0x10,
    /// Any of the bits is set.
    AnyBit = 0x40,
    NotEqual = 0x50,
    Below = 0xa0,
}

/// A function of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Call {
    MapLookup = 1,
    Random = 7,
    RedirectMap = 51,
    LoadBytes = 189,
}

/// One instruction as the kernel reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    operation: u8,
    /// The destination in the low half, the source in the high half.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A place to jump to, later in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

const LOAD: u8 = 0x61;
const STORE: u8 = 0x63;
const STORE_CONSTANT: u8 = 0x62;
const MOVE: u8 = 0xbf;
const MOVE_CONSTANT: u8 = 0xb7;
const ADD_CONSTANT: u8 = 0x07;
const ADD: u8 = 0x0f;
const SUBTRACT: u8 = 0x1f;
const FROM_BIG_ENDIAN: u8 = 0xdc;
const JUMP: u8 = 0x05;
const JUMP_EQUAL: u8 = 0x1d;
const JUMP_GREATER: u8 = 0x2d;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const LOAD_DOUBLE_CONSTANT: u8 = 0x18;
/// As the source register of the above: the constant is the descriptor of a map.
const MAP_DESCRIPTOR: u8 = 1;

/// A program under construction.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<Instruction>,
    /// Where each label is, once it is placed.
    labels: Vec<Option<usize>>,
    /// Jumps and the labels that they go to.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn push(&mut self, operation: u8, to: Reg, from: u8, offset: i16, immediate: i32) {
        self.code.push(Instruction { operation, registers: to as u8 | from << 4, offset, immediate });
    }

    pub(super) fn set(&mut self, to: Reg, constant: i32) {
        self.push(MOVE_CONSTANT, to, 0, 0, constant);
    }

    pub(super) fn copy(&mut self, to: Reg, from: Reg) {
        self.push(MOVE, to, from as u8, 0, 0);
    }

    pub(super) fn add(&mut self, to: Reg, constant: i32) {
        self.push(ADD_CONSTANT, to, 0, 0, constant);
    }

    pub(super) fn add_register(&mut self, to: Reg, from: Reg) {
        self.push(ADD, to, from as u8, 0, 0);
    }

    pub(super) fn subtract(&mut self, to: Reg, from: Reg) {
        self.push(SUBTRACT, to, from as u8, 0, 0);
    }

    /// Takes the low 16 bits for a number in network byte order.
    pub(super) fn swap_network_16(&mut self, to: Reg) {
        self.push(FROM_BIG_ENDIAN, to, 0, 0, 16);
    }

    /// `to = *(base + offset)`, zero-extended.
    pub(super) fn load(&mut self, size: Size, to: Reg, base: Reg, offset: i16) {
        self.push(LOAD | size as u8, to, base as u8, offset, 0);
    }

    /// `*(base + offset) = from`.
    pub(super) fn store(&mut self, size: Size, base: Reg, offset: i16, from: Reg) {
        self.push(STORE | size as u8, base, from as u8, offset, 0);
    }

    /// `*(base + offset) = constant`.
    pub(super) fn store_constant(&mut self, size: Size, base: Reg, offset: i16, constant: i32) {
        self.push(STORE_CONSTANT | size as u8, base, 0, offset, constant);
    }

    /// Loads the map behind a descriptor; takes the room of two instructions.
    pub(super) fn load_map(&mut self, to: Reg, descriptor: i32) {
        self.push(LOAD_DOUBLE_CONSTANT, to, MAP_DESCRIPTOR, 0, descriptor);
        self.code.push(Instruction { operation: 0, registers: 0, offset: 0, immediate: 0 });
    }

    pub(super) fn call(&mut self, function: Call) {
        self.push(CALL, Reg::R0, 0, 0, function as i32);
    }

    pub(super) fn exit(&mut self) {
        self.push(EXIT, Reg::R0, 0, 0, 0);
    }

    /// A label that is placed later.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The next instruction is what jumps to `label` reach.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JUMP, Reg::R0, 0, 0, 0);
    }

    pub(super) fn jump_if(&mut self, condition: If, register: Reg, constant: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JUMP | condition as u8, register, 0, 0, constant);
    }

    pub(super) fn jump_if_equal(&mut self, left: Reg, right: Reg, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JUMP_EQUAL, left, right as u8, 0, 0);
    }

    pub(super) fn jump_if_greater(&mut self, left: Reg, right: Reg, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JUMP_GREATER, left, right as u8, 0, 0);
    }

    /// The program with its jumps resolved.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0].expect("every label of a program is placed");
            let distance = target.checked_sub(at + 1).expect("jumps go forward");
            self.code[at].offset = i16::try_from(distance).expect("a program is short");
        }
        self.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(code: &[Instruction]) -> Vec<[u8; 4]> {
        let low = |instruction: &Instruction| instruction.offset.to_le_bytes();
        code.iter().map(|i| [i.operation, i.registers, low(i)[0], low(i)[1]]).collect()
    }

    #[test]
    fn instructions_are_encoded_as_rfc_9669_says() {
        let mut asm = Assembler::default();
        let end = asm.label();
        asm.copy(Reg::R6, Reg::R1);
        asm.load(Size::Half, Reg::R5, Reg::R2, 12);
        asm.jump_if(If::NotEqual, Reg::R5, 8, end);
        asm.store(Size::Double, Reg::R10, -8, Reg::R5);
        asm.jump_if_greater(Reg::R4, Reg::R3, end);
        asm.swap_network_16(Reg::R4);
        asm.subtract(Reg::R4, Reg::R8);
        asm.jump_if(If::Below, Reg::R4, 8, end);
        asm.load_map(Reg::R1, 7);
        asm.call(Call::RedirectMap);
        asm.place(end);
        asm.exit();
        let code = asm.finish();
        let expected = [
            [0xbf, 0x16, 0, 0],
            [0x69, 0x25, 12, 0],
            [0x55, 0x05, 8, 0],
            [0x7b, 0x5a, 0xf8, 0xff],
            [0x2d, 0x34, 6, 0],
            [0xdc, 0x04, 0, 0],
            [0x1f, 0x84, 0, 0],
            [0xa5, 0x04, 3, 0],
            [0x18, 0x11, 0, 0],
            [0, 0, 0, 0],
            [0x85, 0, 0, 0],
            [0x95, 0, 0, 0],
        ];
        assert_eq!(octets(&code), expected);
        assert_eq!((code[2].immediate, code[5].immediate, code[8].immediate, code[10].immediate), (8, 16, 7, 51));
    }
}
