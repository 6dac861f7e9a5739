/* More threads than the library's register holds, made as QEMU makes an IOThread, all alive when a vCPU,
   which is not listed either, runs for the first time. Counts those that may run elsewhere at their end.

   usage: full_register [wait]: says that all run, and waits to be killed */
#include "as_qemu.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define KVM_RUN 0xAE80
#define THREADS 4200

static pthread_barrier_t before, after;
static atomic_int begun, off;

static void *iothread(void *arg)
{
    begun++;
    pthread_barrier_wait(&before);
    pthread_barrier_wait(&after);
    off += !confined();
    return arg;
}

static void *vcpu(void *arg)
{
    pthread_barrier_wait(&before);
    /* There is no KVM behind it: the kernel refuses, as it does without the library. */
    if (ioctl(-1, KVM_RUN, 0) != -1 || errno != EBADF)
        puts("KVM_RUN was not refused");
    pthread_barrier_wait(&after);
    return arg;
}

int main(int argc, char **argv)
{
    static pthread_t id[THREADS];
    struct qemu_start io1 = {iothread, NULL, "IO io1"};
    struct qemu_start cpu0 = {vcpu, NULL, "CPU 0/KVM"};
    pthread_attr_t small;
    MUST(pthread_attr_init(&small));
    MUST(pthread_attr_setstacksize(&small, 64 << 10));
    MUST(pthread_barrier_init(&before, NULL, THREADS + 1));
    MUST(pthread_barrier_init(&after, NULL, THREADS + 1));
    create_call_rcu();
    for (int i = 0; i < THREADS; i++)
        id[i] = create_as_qemu(&small, &io1);
    if (argc > 1 && strcmp(argv[1], "wait") == 0) {
        while (begun < THREADS)
            usleep(1000);
        puts("all run");
        fflush(stdout);
        alarm(120);
        pause();
    }
    pthread_t last = create_as_qemu(NULL, &cpu0);
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_join(id[i], NULL));
    MUST(pthread_join(last, NULL));
    printf("%d threads, %d off the set\n", THREADS, off);
    return 0;
}
