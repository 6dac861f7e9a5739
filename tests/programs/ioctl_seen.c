/* A library that stands in for the kernel: says what each ioctl looks like when it gets there, and
   answers as its request says. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *third = va_arg(args, void *);
    va_end(args);
    printf("fd %d, request %lx, argument %p\n", fd, request, third);
    if ((unsigned)request == 0x1) {
        errno = EXDEV;
        return -1;
    }
    return 0x12345;
}
