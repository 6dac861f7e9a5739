/* Creators that make and join threads in great number: each asks for its CPU first of all. The
   resident memory must not grow with the number of threads. */
#include "common.h"
#include <stdatomic.h>
#include <unistd.h>

#define CREATORS 8

static atomic_long off, made;
static long each;

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*s %ld", &pages) != 1)
        exit(99);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void *thread(void *arg)
{
    if (!in_place())
        atomic_fetch_add(&off, 1);
    atomic_fetch_add(&made, 1);
    return arg;
}

static void *creator(void *arg)
{
    for (long i = 0; i < each; i++) {
        pthread_t id;
        void *back;
        MUST(pthread_create(&id, NULL, thread, (void *)i));
        MUST(pthread_join(id, &back));
        if (back != (void *)i) {
            printf("thread %ld gave %p back\n", i, back);
            exit(99);
        }
    }
    return arg;
}

static void round_of(long threads)
{
    pthread_t ids[CREATORS];
    each = threads / CREATORS;
    for (int i = 0; i < CREATORS; i++)
        MUST(pthread_create(&ids[i], NULL, creator, NULL));
    for (int i = 0; i < CREATORS; i++)
        MUST(pthread_join(ids[i], NULL));
}

int main(int argc, char **argv)
{
    long threads = argc > 1 ? atol(argv[1]) : 100000;
    /* The first tenth fills the caches of stacks and of the allocator. */
    round_of(threads / 10);
    long before = resident_kib();
    round_of(threads - threads / 10);
    long grown = resident_kib() - before;
    printf("%ld threads, %ld off the set\n", atomic_load(&made), atomic_load(&off));
    /* 64 bytes for each of 90,000 threads would be 5,600 KiB. */
    if (grown > 2048)
        printf("the resident memory has grown by %ld KiB\n", grown);
    return atomic_load(&off) != 0 || grown > 2048;
}
