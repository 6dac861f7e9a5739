# A guest that does nothing but cause VM exits: each write to an unassigned port is one to user space.
# After 2000 of them it prints a dot on the first serial port.
        .code16
        .globl start
start:
        cli
again:
        movw    $2000, %cx
        movw    $0x505, %dx
1:      outb    %al, %dx
        loop    1b
        movw    $0x3f8, %dx
        movb    $'.', %al
        outb    %al, %dx
        jmp     again
        .org    510
        .word   0xaa55
