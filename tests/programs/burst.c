/* A burst of creations inside the sandbox: several creators make many threads each, as QEMU makes an
   IOThread (util/qemu-thread-posix.c), and none ends before all are there. The first thing each of them
   looks at is its errno, the second where it may run. */
#include "as_qemu.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

int seccomp_load(void *context);

#define CREATORS 8
#define EACH 200

static pthread_barrier_t all_are_born;
static atomic_int off, with_errno;

static void *child(void *arg)
{
    int error = errno;
    with_errno += error != 0;
    off += !confined();
    pthread_barrier_wait(&all_are_born);
    return arg;
}

static void *creator(void *arg)
{
    static struct qemu_start start = {child, NULL, "IO io1"};
    pthread_t id[EACH];
    for (int i = 0; i < EACH; i++)
        id[i] = create_as_qemu(NULL, &start);
    for (int i = 0; i < EACH; i++)
        MUST(pthread_join(id[i], NULL));
    return arg;
}

int main(void)
{
    pthread_t id[CREATORS];
    create_call_rcu();
    MUST(pthread_barrier_init(&all_are_born, NULL, CREATORS * EACH));
    MUST(-seccomp_load(NULL));
    unsigned long mask = 1ul << expected_cpu_;
    if (syscall(SYS_sched_setaffinity, 0, sizeof mask, &mask) == 0 || errno != EPERM)
        puts("there is no sandbox");
    for (int i = 0; i < CREATORS; i++)
        MUST(pthread_create(&id[i], NULL, creator, NULL));
    for (int i = 0; i < CREATORS; i++)
        MUST(pthread_join(id[i], NULL));
    printf("%d births, %d off the set, %d with an errno\n", CREATORS * EACH, off, with_errno);
    return 0;
}
