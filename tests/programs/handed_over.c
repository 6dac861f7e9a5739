/* Creates threads as QEMU does, from several creators at once, half of them detached and gone at once: each
   must find its handle written and itself in place. With the library they leave their creator's CPUs. */
#include "common.h"
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#define CREATORS 8
#define EACH 3000

struct qemu_thread_args {
    void *(*start_routine)(void *);
    void *arg;
    char *name;
};

struct one {
    pthread_t handle;
    atomic_int finished;
};

static atomic_int off, late, begun;

static void *qemu_thread_start(void *opaque)
{
    /* The first thing QEMU's threads do, and the first look. */
    int ok = in_place();
    struct qemu_thread_args *args = opaque;
    void *(*start_routine)(void *) = args->start_routine;
    struct one *one = args->arg;
    free(args->name);
    free(args);
    if (!ok)
        atomic_fetch_add(&off, 1);
    return start_routine(one);
}

static void *worker(void *arg)
{
    struct one *one = arg;
    if (one) {
        if (!pthread_equal(one->handle, pthread_self()))
            atomic_fetch_add(&late, 1);
        atomic_fetch_add(&begun, 1);
        atomic_store(&one->finished, 1);
    }
    return NULL;
}

static void create(struct one *one, const char *name, const pthread_attr_t *attributes, pthread_t *handle)
{
    struct qemu_thread_args *args = malloc(sizeof *args);
    args->start_routine = worker;
    args->arg = one;
    args->name = strdup(name);
    MUST(pthread_create(handle, attributes, qemu_thread_start, args));
}

static void *creator(void *arg)
{
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < EACH; i++) {
        struct one one = {0};
        int is_detached = i & 1;
        create(&one, "worker", is_detached ? &detached : NULL, &one.handle);
        if (!is_detached)
            MUST(pthread_join(one.handle, NULL));
        while (!atomic_load(&one.finished))
            sched_yield();
    }
    return arg;
}

int main(void)
{
    int expected = expected_cpu_;
    pthread_t creators[CREATORS], first;
    expected_cpu_ = -1;
    create(NULL, "call_rcu", NULL, &first);
    MUST(pthread_join(first, NULL));
    expected_cpu_ = expected;
    for (int i = 0; i < CREATORS; i++)
        MUST(pthread_create(&creators[i], NULL, creator, NULL));
    for (int i = 0; i < CREATORS; i++)
        MUST(pthread_join(creators[i], NULL));
    printf("%d threads, %d off the set, %d late handles\n", atomic_load(&begun), atomic_load(&off), atomic_load(&late));
    return 0;
}
