/* One attribute that two creators use at the same time, and that is the same afterwards. */
#include "common.h"

static pthread_attr_t attr, before;

static void *thread(void *arg)
{
    pthread_attr_t own;
    size_t size;
    here("thread");
    MUST(pthread_getattr_np(pthread_self(), &own));
    MUST(pthread_attr_getstacksize(&own, &size));
    MUST(pthread_attr_destroy(&own));
    if (size != 192 * 1024)
        printf("stack of %zu\n", size);
    return arg;
}

static void *creator(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        pthread_t id;
        MUST(pthread_create(&id, &attr, thread, NULL));
        MUST(pthread_join(id, NULL));
    }
    return arg;
}

int main(void)
{
    pthread_t ids[2];
    MUST(pthread_attr_init(&attr));
    MUST(pthread_attr_setstacksize(&attr, 192 * 1024));
    memcpy(&before, &attr, sizeof attr);
    for (int i = 0; i < 2; i++)
        MUST(pthread_create(&ids[i], NULL, creator, NULL));
    for (int i = 0; i < 2; i++)
        MUST(pthread_join(ids[i], NULL));
    printf("attribute changed: %d\n", memcmp(&before, &attr, sizeof attr) != 0);
    return 0;
}
