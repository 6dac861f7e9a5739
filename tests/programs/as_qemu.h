/* Threads made as QEMU makes them (util/qemu-thread-posix.c): all by one start routine, whose argument
   is the thread's routine, argument and name. */
#ifndef AS_QEMU_H
#define AS_QEMU_H

#include "common.h"

struct qemu_start {
    void *(*routine)(void *);
    void *argument;
    const char *name;
};

static void *qemu_thread_start(void *arg)
{
    struct qemu_start *start = arg;
    return start->routine(start->argument);
}

/* `start` has to outlive the thread's beginning. */
static inline pthread_t create_as_qemu(const pthread_attr_t *attr, struct qemu_start *start)
{
    pthread_t id;
    MUST(pthread_create(&id, attr, qemu_thread_start, start));
    return id;
}

static void *nothing_(void *arg)
{
    return arg;
}

/* QEMU's first thread, which is made before anything else happens. */
static inline void create_call_rcu(void)
{
    struct qemu_start start = {nothing_, NULL, "call_rcu"};
    MUST(pthread_join(create_as_qemu(NULL, &start), NULL));
}

/* Whether the calling thread may run on the CPU that EXPECT_CPU names and on no other. */
static inline int confined(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1 && CPU_ISSET(expected_cpu_, &set);
}

#endif
