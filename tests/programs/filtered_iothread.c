/* A program that is killed where it asks for an affinity or sets one. It creates IOThreads as QEMU does, which so stay on
   their creator's CPUs. Says when all run, and waits to be killed. */
#include "as_qemu.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_barrier_t barrier;

static void *iothread(void *arg)
{
    pthread_barrier_wait(&barrier);
    for (;;)
        pause();
    return arg;
}

int main(void)
{
    struct sock_filter list[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_getaffinity, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setaffinity, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof list / sizeof *list, list};
    struct qemu_start start = {iothread, NULL, "IO io1"};
    MUST(pthread_barrier_init(&barrier, NULL, 3));
    create_call_rcu();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        return 96;
    create_as_qemu(NULL, &start);
    create_as_qemu(NULL, &start);
    pthread_barrier_wait(&barrier);
    puts("all run");
    fflush(stdout);
    alarm(120);
    for (;;)
        pause();
}
