/* Threads that are cancelled: while they block, while they are busy (asynchronously), and before
   they have begun. A thread that was cancelled before it began still reaches its first
   cancellation point, as POSIX has it: nothing before the start routine may be one. */
#include "common.h"
#include <stdatomic.h>
#include <unistd.h>

static int pipe_ends[2];
static atomic_int begun;
static volatile unsigned long spins;

static void on_cleanup(void *arg) { printf("cleanup %s\n", (char *)arg); }

static void *blocked(void *arg)
{
    char byte;
    here("blocked");
    pthread_cleanup_push(on_cleanup, "blocked");
    atomic_store(&begun, 1);
    if (read(pipe_ends[0], &byte, 1) != 1)
        puts("read failed");
    pthread_cleanup_pop(0);
    return arg;
}

static void *busy(void *arg)
{
    here("busy");
    MUST(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    atomic_store(&begun, 1);
    for (;;)
        spins++;
    return arg;
}

static void *late(void *arg)
{
    atomic_fetch_add(&begun, 1);
    pthread_testcancel();
    return arg;
}

static void cancel_when_begun(void *(*routine)(void *), const char *name)
{
    pthread_t id;
    void *back;
    atomic_store(&begun, 0);
    MUST(pthread_create(&id, NULL, routine, NULL));
    while (!atomic_load(&begun))
        sched_yield();
    MUST(pthread_cancel(id));
    MUST(pthread_join(id, &back));
    printf("%s: cancelled %d\n", name, back == PTHREAD_CANCELED);
}

int main(void)
{
    if (pipe(pipe_ends) != 0)
        return 99;
    for (int i = 0; i < 20; i++) {
        cancel_when_begun(blocked, "blocked");
        cancel_when_begun(busy, "busy");
    }
    atomic_store(&begun, 0);
    for (int i = 0; i < 2000; i++) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, late, NULL));
        MUST(pthread_cancel(id));
        MUST(pthread_join(id, NULL));
    }
    printf("late: %d have begun\n", atomic_load(&begun));
    return 0;
}
