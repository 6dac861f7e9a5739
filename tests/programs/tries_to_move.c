/* A library inside QEMU that says, once for each thread that enters KVM_RUN and for the one that has
   loaded the sandbox's filter, what the kernel answers to a sched_setaffinity of that thread's own. */
#include "first_run.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int seccomp_load(void *context);

static void try_to_move(const char *who)
{
    unsigned long all = ~0ul;
    long result = syscall(SYS_sched_setaffinity, 0, sizeof all, &all);
    dprintf(2, "%s tried to move: %s\n", who, result == 0 ? "done" : errno == EPERM ? "EPERM" : strerror(errno));
}

int seccomp_load(void *context)
{
    int (*next)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "seccomp_load");
    int result = next(context);
    try_to_move("main");
    return result;
}

static void at_first_run(void)
{
    try_to_move("a vCPU");
}
