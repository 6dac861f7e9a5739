/* A thread on memory that the program gives it as its stack. */
#include "common.h"
#include <stdint.h>
#include <sys/mman.h>

#define SIZE (256 * 1024)

static char *memory;

static void *thread(void *arg)
{
    char local;
    here("thread");
    uintptr_t at = (uintptr_t)&local, low = (uintptr_t)memory;
    printf("on its own stack: %d\n", at > low && at < low + SIZE);
    return arg;
}

int main(void)
{
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 99;
    pthread_attr_t attr;
    MUST(pthread_attr_init(&attr));
    MUST(pthread_attr_setstack(&attr, memory, SIZE));
    for (int i = 0; i < 100; i++) {
        pthread_t id;
        MUST(pthread_create(&id, &attr, thread, NULL));
        MUST(pthread_join(id, NULL));
    }
    return 0;
}
