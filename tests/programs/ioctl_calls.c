/* ioctl requests of all sorts, which have to arrive as they were sent. */
#include "common.h"
#include <errno.h>
#include <sys/ioctl.h>

#define KVM_RUN 0xAE80
#define KVM_CREATE_VCPU 0xAE41
#define VHOST_SET_OWNER 0xAF01
#define VHOST_NEW_WORKER 0x8004AF08
#define MSHV_RUN_VP 0x8100B800

static void call(const char *what, unsigned long request, void *argument)
{
    errno = 4321;
    int result = ioctl(-7, request, argument);
    printf("%s: %x, errno %d\n", what, result, errno);
}

static void calls(void)
{
    void *high = (void *)0x7edcba9876543210;
    call("plain", 0x5401, high);
    call("refused", 0x1, high);
    call("refused, with further bits", 0xffffffff00000001, high);
    call("sign-extended", (unsigned long)(int)0xC008AE3A, high);
    call("all bits", 0xfedcba9876543210, (void *)0xffffffffffffffff);
    call("KVM_RUN", KVM_RUN, NULL);
    call("KVM_RUN, sign-extended", 0xffffffff00000000 | KVM_RUN, high);
    call("KVM_CREATE_VCPU", KVM_CREATE_VCPU, (void *)3);
    call("KVM_CREATE_VCPU, high id", KVM_CREATE_VCPU, high);
    call("VHOST_SET_OWNER", VHOST_SET_OWNER, high);
    call("VHOST_NEW_WORKER", VHOST_NEW_WORKER, high);
    call("VHOST_NEW_WORKER, sign-extended", (unsigned long)(int)VHOST_NEW_WORKER, high);
    call("MSHV_RUN_VP", MSHV_RUN_VP, high);
    call("MSHV_RUN_VP, sign-extended", (unsigned long)(int)MSHV_RUN_VP, NULL);
}

static void *thread(void *arg)
{
    calls();
    here("thread");
    return arg;
}

int main(void)
{
    pthread_t id;
    calls();
    here("main");
    MUST(pthread_create(&id, NULL, thread, NULL));
    MUST(pthread_join(id, NULL));
    return 0;
}
