// Creates and joins threads one after another, as QEMU hands them their name, and prints the median
// nanoseconds of one creation and join.
//   create_join COUNT [CPU]   with a CPU: by pthread_attr_setaffinity_np, the method that needs no library
// With seccomp_load in reach (a library that closes a sandbox) it is called first, as QEMU does.
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct qemu_thread_args {
    void *(*start_routine)(void *);
    void *arg;
    char *name;
};

static void *qemu_thread_start(void *opaque)
{
    struct qemu_thread_args *args = opaque;
    void *(*start_routine)(void *) = args->start_routine;
    void *arg = args->arg;
    free(args->name);
    free(args);
    return start_routine(arg);
}

static void *nothing(void *arg)
{
    return arg;
}

static void create_and_join(const char *name, const pthread_attr_t *attributes)
{
    struct qemu_thread_args *args = malloc(sizeof *args);
    args->start_routine = nothing;
    args->arg = NULL;
    args->name = strdup(name);
    pthread_t thread;
    if (pthread_create(&thread, attributes, qemu_thread_start, args))
        abort();
    pthread_join(thread, NULL);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int seccomp_load(void *context) __attribute__((weak));

int main(int argc, char **argv)
{
    int count = atoi(argv[1]);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (argc > 2) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(atoi(argv[2]), &set);
        pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    }
    create_and_join("call_rcu", &attributes);
    if (seccomp_load)
        seccomp_load(NULL);
    uint64_t *times = calloc(count, sizeof *times);
    for (int i = -count / 10; i < count; i++) {
        uint64_t start = now();
        create_and_join("worker", &attributes);
        if (i >= 0)
            times[i] = now() - start;
    }
    qsort(times, count, sizeof *times, ascending);
    printf("%llu\n", (unsigned long long)times[count / 2]);
    return 0;
}
