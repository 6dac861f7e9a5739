/* Threads that end in every way that there is, more of each than the register has room for at one time, one after
   another. What a thread has left for its end is done once, in order. */
#include "common.h"
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <threads.h>
#include <unistd.h>

#define THREADS 4200

static pthread_key_t key;
static int handlers, destructors, in_order;

static void on_cleanup(void *arg) { handlers += arg == &handlers; }
static void on_destroy(void *arg)
{
    destructors += arg == &destructors;
    in_order += handlers == destructors;
}

static void *returns(void *arg) { return arg; }

static void *leaves(void *arg)
{
    pthread_cleanup_push(on_cleanup, &handlers);
    MUST(pthread_setspecific(key, &destructors));
    pthread_exit(arg);
    pthread_cleanup_pop(0);
}

static void *is_cancelled(void *arg)
{
    pthread_cleanup_push(on_cleanup, &handlers);
    MUST(pthread_setspecific(key, &destructors));
    for (;;)
        pause();
    pthread_cleanup_pop(0);
    return arg;
}

static void *is_cancelled_at_any_time(void *arg)
{
    MUST(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
    for (;;)
        ;
    return arg;
}

/* A jump within the routine, and one from a signal's stack, leave the thread's own frame alone. */
static void *jumps(void *arg)
{
    jmp_buf back;
    volatile int times = 0;
    if (setjmp(back) < 3) {
        times++;
        longjmp(back, times);
    }
    return times == 3 ? arg : NULL;
}

static int returns_c11(void *arg) { return arg == &handlers; }
static int leaves_c11(void *arg) { thrd_exit(arg == &handlers); }

static void many(const char *how, void *(*routine)(void *), int cancel)
{
    int right = 0;
    handlers = destructors = in_order = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_t id;
        void *result;
        MUST(pthread_create(&id, NULL, routine, &handlers));
        if (cancel)
            MUST(pthread_cancel(id));
        MUST(pthread_join(id, &result));
        right += result == (cancel ? PTHREAD_CANCELED : &handlers);
    }
    printf("%s: %d right, %d handlers, %d destructors, %d in order\n", how, right, handlers, destructors, in_order);
}

static void many_c11(const char *how, int (*routine)(void *))
{
    int right = 0;
    for (int i = 0; i < THREADS; i++) {
        thrd_t id;
        int result;
        if (thrd_create(&id, routine, &handlers) != thrd_success || thrd_join(id, &result) != thrd_success)
            abort();
        right += result;
    }
    printf("%s: %d right\n", how, right);
}

int main(void)
{
    MUST(pthread_key_create(&key, on_destroy));
    many("return", returns, 0);
    many("pthread_exit", leaves, 0);
    many("cancelled", is_cancelled, 1);
    many("cancelled at any time", is_cancelled_at_any_time, 1);
    many("longjmp", jumps, 0);
    many_c11("C11 return", returns_c11);
    many_c11("thrd_exit", leaves_c11);
    here("main");
    return 0;
}
