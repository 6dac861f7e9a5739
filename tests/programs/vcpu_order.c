/* A virtual machine monitor whose threads have no names: each of three threads creates a vCPU, with
   ids that have gaps, as APIC ids have. The main thread creates one, too, which makes it no vCPU. */
#include "common.h"
#include <sys/ioctl.h>

#define KVM_CREATE_VCPU 0xAE41

static void *vcpu(void *arg)
{
    ioctl(-7, KVM_CREATE_VCPU, (long)arg * 4);
    printf("vCPU %ld: CPU %d\n", (long)arg, sched_getcpu());
    return arg;
}

int main(void)
{
    ioctl(-7, KVM_CREATE_VCPU, 0);
    printf("main: CPU %d\n", sched_getcpu());
    for (long i = 0; i < 3; i++) {
        pthread_t id;
        MUST(pthread_create(&id, NULL, vcpu, (void *)i));
        MUST(pthread_join(id, NULL));
    }
    return 0;
}
