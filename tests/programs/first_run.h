/* For a library inside QEMU: calls at_first_run once in each thread, just before the thread's first KVM_RUN, or
   MSHV_RUN_VP, goes on to the next library or the kernel. */
#ifndef FIRST_RUN_H
#define FIRST_RUN_H

#include <dlfcn.h>
#include <stdarg.h>

#define KVM_RUN 0xAE80
#define MSHV_RUN_VP 0x8100B800

static void at_first_run(void);

int ioctl(int fd, unsigned long request, ...);

int ioctl(int fd, unsigned long request, ...)
{
    static __thread int done;
    int (*next)(int, unsigned long, void *) = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    va_list args;
    va_start(args, request);
    void *third = va_arg(args, void *);
    va_end(args);
    if (((unsigned)request == KVM_RUN || (unsigned)request == MSHV_RUN_VP) && !done) {
        done = 1;
        at_first_run();
    }
    return next(fd, request, third);
}

#endif
