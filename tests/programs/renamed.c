/* Threads that are given other names, each way there is. A thread named "ruled*" belongs on RULE_CPU, any other on
   EXPECT_CPU. */
#include "common.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int rule_cpu, other_cpu, wrong;

static void is_on(int cpu, const char *what)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    if (CPU_COUNT(&set) != 1 || !CPU_ISSET(cpu, &set)) {
        wrong++;
        printf("%s: not on the one CPU where it belongs\n", what);
    }
}

static void *by_itself(void *arg)
{
    is_on(other_cpu, "before");
    errno = 4321;
    MUST(prctl(PR_SET_NAME, "ruled by prctl"));
    is_on(rule_cpu, "prctl");
    MUST(prctl(PR_SET_NAME, "another"));
    is_on(other_cpu, "prctl to another name");
    MUST(pthread_setname_np(pthread_self(), "ruled"));
    is_on(rule_cpu, "pthread_setname_np");
    /* A name of more than 15 bytes is refused, and changes nothing. */
    if (pthread_setname_np(pthread_self(), "a name of 16 byt") != ERANGE)
        puts("a name that is too long is taken");
    is_on(rule_cpu, "pthread_setname_np, refused");
    if (prctl(PR_SET_NAME, 1ul) != -1 || errno != EFAULT)
        puts("a name that cannot be read is taken");
    is_on(rule_cpu, "prctl, refused");
    errno = 4321;
    MUST(prctl(PR_SET_NAME, "ruled but cut to 15 bytes"));
    is_on(rule_cpu, "prctl, cut");
    char name[16];
    MUST(prctl(PR_GET_NAME, name));
    MUST(pthread_setname_np(pthread_self(), ""));
    is_on(other_cpu, "an empty name");
    printf("%s, errno %d\n", name, errno);
    return arg;
}

static int turn;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void wait_for(int wanted)
{
    pthread_mutex_lock(&lock);
    while (turn < wanted)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void now_is(int now)
{
    pthread_mutex_lock(&lock);
    turn = now;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void *by_its_creator(void *arg)
{
    wait_for(1);
    is_on(rule_cpu, "named by its creator");
    now_is(2);
    wait_for(3);
    is_on(other_cpu, "renamed by its creator");
    return arg;
}

/* The next thread inherits a name that a rule matches, which says nothing of it. */
static void *inherits(void *arg)
{
    is_on(other_cpu, "a name that was inherited");
    return arg;
}

static void *creates(void *arg)
{
    pthread_t id;
    MUST(pthread_setname_np(pthread_self(), "ruled"));
    MUST(pthread_create(&id, NULL, inherits, NULL));
    MUST(pthread_join(id, NULL));
    return arg;
}

int main(void)
{
    rule_cpu = atoi(getenv("RULE_CPU"));
    other_cpu = atoi(getenv("EXPECT_CPU"));
    pthread_t id;
    MUST(pthread_create(&id, NULL, by_itself, NULL));
    MUST(pthread_join(id, NULL));
    for (int i = 0; i < 500; i++) {
        turn = 0;
        MUST(pthread_create(&id, NULL, by_its_creator, NULL));
        MUST(pthread_setname_np(id, "ruled"));
        now_is(1);
        wait_for(2);
        MUST(pthread_setname_np(id, "another"));
        now_is(3);
        MUST(pthread_join(id, NULL));
    }
    MUST(pthread_create(&id, NULL, creates, NULL));
    MUST(pthread_join(id, NULL));
    MUST(prctl(PR_SET_NAME, "ruled"));
    is_on(rule_cpu, "the main thread");
    /* A forked child is no owner, and its name is its own. */
    fflush(stdout);
    if (fork() == 0) {
        prctl(PR_SET_NAME, "another");
        is_on(rule_cpu, "a child");
        fflush(stdout);
        _exit(wrong != 0);
    }
    printf("%d wrong\n", wrong);
    return 0;
}
