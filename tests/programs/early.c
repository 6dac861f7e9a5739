/* A library whose constructor creates a thread and waits for it, maybe before any other library is
   ready. early_was_off says how that went. */
#include "common.h"

int early_was_off = 2;

static void *thread(void *arg)
{
    /* The other constructor of this file may not have run yet. */
    read_expected_cpu_();
    early_was_off = !in_place();
    return arg;
}

__attribute__((constructor(101))) static void begin(void)
{
    pthread_t id;
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
}
