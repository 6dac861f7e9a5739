/* Threads that leave by pthread_exit, from their start routine and from deep below it: cleanup
   handlers and thread-specific destructors run, once and in order. At last main leaves so, too. */
#include "common.h"

static pthread_key_t key;

static void on_cleanup(void *arg) { printf("cleanup %s\n", (char *)arg); }
static void on_destroy(void *arg) { printf("destroy %s\n", (char *)arg); }

static void __attribute__((noinline)) deep(int depth)
{
    if (depth == 0)
        pthread_exit((void *)0x1234567890);
    pthread_cleanup_push(on_cleanup, depth == 1 ? "inner" : "outer");
    if (in_place() || depth > 0)
        deep(depth - 1);
    pthread_cleanup_pop(0);
}

static void *leaves_deep(void *arg)
{
    here("thread");
    MUST(pthread_setspecific(key, "deep"));
    deep(2);
    return arg;
}

static void *leaves_at_once(void *arg)
{
    here("thread");
    pthread_exit(arg);
}

static void *last(void *arg)
{
    MUST(pthread_join(*(pthread_t *)arg, NULL));
    puts("main has left");
    return NULL;
}

int main(void)
{
    MUST(pthread_key_create(&key, on_destroy));
    for (int i = 0; i < 50; i++) {
        pthread_t id;
        void *back;
        MUST(pthread_create(&id, NULL, leaves_deep, NULL));
        MUST(pthread_join(id, &back));
        printf("%p\n", back);
        MUST(pthread_create(&id, NULL, leaves_at_once, &key));
        MUST(pthread_join(id, &back));
        printf("%d\n", back == &key);
    }
    static pthread_t self;
    self = pthread_self();
    pthread_t id;
    MUST(pthread_create(&id, NULL, last, &self));
    pthread_exit(NULL);
}
