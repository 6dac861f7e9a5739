/* Preloaded into the command: a host of sixteen CPUs, as far as the system calls for affinities say. */
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    if (number == SYS_sched_setaffinity)
        return 0;
    if (number == SYS_sched_getaffinity) {
        memset((void *)c, 0, (size_t)b);
        memset((void *)c, 0xff, 2);
        return b;
    }
    return real(number, a, b, c, d, e, f);
}
