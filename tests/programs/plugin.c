/* A library that is loaded at run time and makes a thread, which runs code of this library. */
#include "common.h"

static void *thread(void *arg)
{
    read_expected_cpu_();
    here("the plugin's thread");
    return arg;
}

int plugin_run(void);
int plugin_run(void)
{
    static char sent;
    pthread_t id;
    void *back;
    MUST(pthread_create(&id, NULL, thread, &sent));
    MUST(pthread_join(id, &back));
    return back == &sent;
}
