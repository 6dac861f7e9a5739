/* A VM on a host with Microsoft's hypervisor, as far as the library sees one: an IOThread, and two vCPUs that make
   MSHV_RUN_VP and not KVM_RUN. Before any of them runs, somebody moves all three onto FROM_CPU, as libvirt may. Says
   their ids, and waits to be killed when both vCPUs have run. */
#include "as_qemu.h"
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/mshv.h */
#define MSHV_RUN_VP 0x8100B800

static pthread_barrier_t all_are_there, all_were_moved, vcpus_have_run;
static long ids[3];

static void *iothread(void *arg)
{
    ids[(long)arg] = syscall(SYS_gettid);
    pthread_barrier_wait(&all_are_there);
    for (;;)
        pause();
    return arg;
}

static void *vcpu(void *arg)
{
    static char page[256];
    ids[(long)arg] = syscall(SYS_gettid);
    pthread_barrier_wait(&all_are_there);
    pthread_barrier_wait(&all_were_moved);
    for (int i = 0; i < 3; i++) {
        errno = 4321;
        if (ioctl(-7, MSHV_RUN_VP, page) != -1 || errno != EBADF)
            abort();
    }
    pthread_barrier_wait(&vcpus_have_run);
    for (;;)
        pause();
    return arg;
}

static void move(long id, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    /* libvirt's call comes from another process, so the library does not see this one either. */
    if (syscall(SYS_sched_setaffinity, id, sizeof set, &set) != 0)
        abort();
}

int main(void)
{
    struct qemu_start starts[3] = {
        {iothread, (void *)0, "IO io1"}, {vcpu, (void *)1, "CPU 0/MSHV"}, {vcpu, (void *)2, "CPU 1/MSHV"}};
    create_call_rcu();
    MUST(pthread_barrier_init(&all_are_there, NULL, 4));
    MUST(pthread_barrier_init(&all_were_moved, NULL, 3));
    MUST(pthread_barrier_init(&vcpus_have_run, NULL, 3));
    for (int i = 0; i < 3; i++)
        create_as_qemu(NULL, &starts[i]);
    pthread_barrier_wait(&all_are_there);
    for (int i = 0; i < 3; i++)
        move(ids[i], atoi(getenv("FROM_CPU")));
    pthread_barrier_wait(&all_were_moved);
    pthread_barrier_wait(&vcpus_have_run);
    printf("%ld %ld %ld\n", ids[0], ids[1], ids[2]);
    fflush(stdout);
    alarm(120);
    for (;;)
        pause();
}
