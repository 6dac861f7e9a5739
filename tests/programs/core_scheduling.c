/* A library in the kernel's place: it sees the system calls that the library under test makes, and answers
   prctl(PR_SCHED_CORE, …) as CORE_ANSWER says: with this errno, or 0 for success. */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PR_SCHED_CORE 62

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long arguments[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(args, long);
    va_end(args);
    if (!next)
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_prctl && arguments[0] == PR_SCHED_CORE) {
        const char *answer = getenv("CORE_ANSWER");
        fprintf(stderr, "core scheduling: command %ld, pid %ld, scope %ld, %ld\n", arguments[1], arguments[2],
                arguments[3], arguments[4]);
        errno = answer ? atoi(answer) : 0;
        return errno ? -1 : 0;
    }
    return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}
