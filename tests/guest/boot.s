# The guest that every VM test and the demo run: one boot sector, in real mode, for ever.
#
# It computes the first 35 Fibonacci numbers the slow, recursive way (so that the vCPU is busy in
# guest code) and prints each on the first serial port. After each number, and on the way to the
# larger ones, it visits its disks: on each of the BIOS disks 0x80 to 0x83 that is there it reads
# 16 KiB, adds 1 to the first four bytes, and writes them back (so that QEMU's worker threads come
# and go, and the image tells how often), then sleeps for 15 ms (so that the vCPU also halts).
#
#   as --32 boot.s -o boot.o
#   ld -m elf_i386 -Ttext 0x7c00 --oformat binary -e start boot.o -o boot.bin
#
# Memory: the code at 0x7c00, the stack below it, the disk buffer at 0x10000.

        .set LAST, 34                   # the last of the 35 numbers
        .set VISIT_AT, 22               # some KVMs emulate real mode: without this the disks would be
                                        # quiet for minutes
        .set DRIVES_END, 0x84
        .set SECTORS, 32
        .set BUFFER, 0x1000             # segment
        .set COM1, 0x3f8

        .code16
        .text
        .globl start
start:
        ljmp    $0, $here
here:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        cld
        sti

round:
        xorw    %si, %si
number:
        movw    $text_fib, %bp
        call    print
        movzwl  %si, %eax
        call    print_decimal
        movw    $text_is, %bp
        call    print
        xorl    %ebx, %ebx
        movw    %si, %ax
        call    fibonacci
        movl    %ebx, %eax
        call    print_decimal
        movw    $text_end, %bp
        call    print
        call    visit_disks
        incw    %si
        cmpw    $LAST, %si
        jbe     number
        jmp     round

# Adds the AX-th Fibonacci number to EBX. AX is lost.
fibonacci:
        cmpw    $VISIT_AT, %ax
        jne     1f
        call    visit_disks
1:      cmpw    $2, %ax
        jb      2f
        decw    %ax
        pushw   %ax
        call    fibonacci
        popw    %ax
        decw    %ax
        jmp     1b                      # the second call, as a tail call
2:      movzwl  %ax, %eax
        addl    %eax, %ebx
        ret

# Reads, counts and writes on every disk, then sleeps for 15 ms. All registers but FS are kept.
visit_disks:
        pushal
        pushw   $BUFFER
        popw    %fs
        movb    $0x80, %dl
1:      movb    $0x42, %ah              # extended read
        call    disk
        incl    %fs:0
        movb    $0x43, %ah              # extended write
        call    disk
        incb    %dl
        cmpb    $DRIVES_END, %dl
        jb      1b

        xorw    %cx, %cx                # CX:DX in microseconds
        movw    $15000, %dx
        movb    $0x86, %ah
        int     $0x15
        popal
        ret

# BIOS disk request AH on drive DL, which is kept. The error of a drive that is not there is ignored.
disk:
        pushw   %dx
        movw    $SECTORS, packet_sectors        # an answer changes it
        movw    $packet, %si
        xorb    %al, %al
        int     $0x13
        popw    %dx
        ret

# Prints the text at BP, which ends with a zero byte.
print:
        movb    %ds:(%bp), %al
        testb   %al, %al
        jz      1f
        call    putc
        incw    %bp
        jmp     print
1:      ret

# Prints EAX in decimal.
print_decimal:
        xorl    %edx, %edx
        movl    $10, %ecx
        divl    %ecx
        pushw   %dx
        testl   %eax, %eax
        jz      1f
        call    print_decimal
1:      popw    %ax
        addb    $'0', %al

# Prints the character in AL, once the port takes it.
putc:
        pushw   %ax
        movw    $(COM1 + 5), %dx
1:      inb     %dx, %al
        testb   $0x20, %al
        jz      1b
        popw    %ax
        movw    $COM1, %dx
        outb    %al, %dx
        ret

text_fib:
        .asciz  "fib("
text_is:
        .asciz  ") = "
text_end:
        .asciz  "\r\n"

        .balign 4
packet:                                 # of the extended read and write
        .byte   16, 0
packet_sectors:
        .word   SECTORS
        .word   0, BUFFER               # offset and segment
        .quad   2048                    # first sector: 1 MiB into the disk, well behind this code

        .org    510
        .word   0xaa55
