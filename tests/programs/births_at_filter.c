/* Several threads create threads while another loads the filter, and then loads it once more.
   Each creator stands on FROM_CPU, off the set, so that no child is in place by inheritance.

   usage: births_at_filter MICROSECONDS [named]. With "named" the children are created as QEMU creates
   its threads (util/qemu-thread-posix.c), as IOThreads, so that they belong elsewhere than creators. */
#include "as_qemu.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

int seccomp_load(void *context);

#define CREATORS 4
#define MORE 20

static pthread_barrier_t barrier;
static atomic_int loaded, births, off, unfiltered, moved;

static void *child(void *arg)
{
    if (!in_place())
        off++;
    births++;
    return arg;
}

static int named;

static void create_one(void *(*routine)(void *), const char *name)
{
    struct qemu_start start = {routine, NULL, name};
    pthread_t id;
    if (named)
        id = create_as_qemu(NULL, &start);
    else
        MUST(pthread_create(&id, NULL, routine, NULL));
    MUST(pthread_join(id, NULL));
}

static int move_to(int cpu)
{
    unsigned long mask = 1ul << cpu;
    return syscall(SYS_sched_setaffinity, 0, sizeof mask, &mask) == 0 ? 0 : errno;
}

static void create(int count)
{
    for (int i = 0; i < count; i++)
        create_one(child, "IO io1");
}

static void *creator(void *arg)
{
    int from = atoi(getenv("FROM_CPU"));
    MUST(move_to(from));
    pthread_barrier_wait(&barrier);
    for (int step = 1; step <= 2; step++) {
        while (loaded < step)
            create(1);
        create(MORE);
    }
    /* The filter is what it is meant to be, and the creator is where it was. */
    if (move_to(from) != EPERM)
        unfiltered++;
    if (sched_getcpu() != from)
        moved++;
    return arg;
}

int main(int argc, char **argv)
{
    pthread_t id[CREATORS];
    named = argc > 2;
    /* QEMU's first. */
    create_one(nothing_, "call_rcu");
    MUST(pthread_barrier_init(&barrier, NULL, CREATORS + 1));
    for (int i = 0; i < CREATORS; i++)
        MUST(pthread_create(&id[i], NULL, creator, NULL));
    pthread_barrier_wait(&barrier);
    /* So that the filter is loaded at another moment in every run. */
    usleep(argc > 1 ? atoi(argv[1]) : 0);
    MUST(-seccomp_load(NULL));
    loaded = 1;
    usleep(3000);
    MUST(-seccomp_load(NULL));
    loaded = 2;
    for (int i = 0; i < CREATORS; i++)
        MUST(pthread_join(id[i], NULL));
    printf("%s births, %d off the set, %d unfiltered, %d moved\n",
           births >= CREATORS * 2 * MORE ? "many" : "few", off, unfiltered, moved);
    fflush(stdout);
    pause();
    return 0;
}
