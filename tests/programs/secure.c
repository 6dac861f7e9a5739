/* Whether this is a program of other rights than its user's, as the kernel says, and where it may run. */
#include "with_broker.h"
#include <sys/auxv.h>

int main(void)
{
    printf("secure %lu, mask %lx\n", getauxval(AT_SECURE), mask_of(0));
    return 0;
}
