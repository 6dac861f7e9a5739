/* Detached threads: by their attribute, and by pthread_detach in the thread itself. */
#include "common.h"
#include <semaphore.h>

static sem_t done;

static void *detached(void *arg)
{
    pthread_attr_t attr;
    int state;
    here("detached");
    MUST(pthread_getattr_np(pthread_self(), &attr));
    MUST(pthread_attr_getdetachstate(&attr, &state));
    MUST(pthread_attr_destroy(&attr));
    if (state != PTHREAD_CREATE_DETACHED)
        puts("not detached");
    sem_post(&done);
    return arg;
}

static void *detaches_itself(void *arg)
{
    MUST(pthread_detach(pthread_self()));
    return detached(arg);
}

int main(void)
{
    pthread_attr_t attr;
    sem_init(&done, 0, 0);
    MUST(pthread_attr_init(&attr));
    MUST(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
    for (int i = 0; i < 2000; i++) {
        pthread_t id;
        MUST(pthread_create(&id, i % 2 ? &attr : NULL, i % 2 ? detached : detaches_itself, NULL));
        sem_wait(&done);
    }
    puts("done");
    return 0;
}
