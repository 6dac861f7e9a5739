/* Threads as QEMU makes them and others, each of which prints its scheduling class: its number, its nice value, its priority,
   the flag reset-on-fork, and the errno that it finds. In between, the errno that its creator finds.

   The vCPU creates a worker. A thread of another library asks for a class of its own as it is created, and one gives itself
   a class later (as "later", once it has been given another name). CHANGE=1: only these two. */
#include "as_qemu.h"
#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static void print_class(const char *who, int found)
{
    struct attributes now = {0};
    syscall(SYS_sched_getattr, 0, &now, 48, 0);
    printf("%s: %d %d %d %d errno %d\n", who, (int)now.policy, now.nice, (int)now.priority, (int)now.flags & 1, found);
}

static void *prints_class(void *who)
{
    int found = errno;
    print_class(who, found);
    return NULL;
}

static void wait_for(pthread_t id, const char *who)
{
    int found = errno;
    MUST(pthread_join(id, NULL));
    printf("%s's creator: errno %d\n", who, found);
}

static void as_qemu(const char *name)
{
    struct qemu_start start = {prints_class, (void *)name, name};
    errno = 77;
    wait_for(create_as_qemu(NULL, &start), name);
}

static void *vcpu(void *who)
{
    prints_class(who);
    as_qemu("worker");
    return NULL;
}

static void *changes_its_class(void *who)
{
    struct sched_param priority = {.sched_priority = 4};
    MUST(pthread_setschedparam(pthread_self(), SCHED_RR, &priority));
    MUST(pthread_setname_np(pthread_self(), "renamed"));
    print_class(who, 0);
    return NULL;
}

static void foreign(void *(*routine)(void *), const pthread_attr_t *attr, const char *who)
{
    pthread_t id;
    errno = 77;
    MUST(pthread_create(&id, attr, routine, (void *)who));
    wait_for(id, who);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    create_call_rcu();
    if (!getenv("CHANGE")) {
        print_class("main", 0);
        struct qemu_start start = {vcpu, "CPU 0/KVM", "CPU 0/KVM"};
        errno = 77;
        wait_for(create_as_qemu(NULL, &start), "CPU 0/KVM");
        as_qemu("IO io1");
        as_qemu("live_migration");
        as_qemu("worker");
        foreign(prints_class, NULL, "foreign");
        return 0;
    }
    pthread_attr_t attr;
    struct sched_param priority = {.sched_priority = 3};
    MUST(pthread_attr_init(&attr));
    MUST(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
    MUST(pthread_attr_setschedpolicy(&attr, SCHED_FIFO));
    MUST(pthread_attr_setschedparam(&attr, &priority));
    foreign(prints_class, &attr, "asked for");
    foreign(changes_its_class, NULL, "later");
    return 0;
}
