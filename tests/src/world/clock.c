/* Preloaded into an agent: shifts its clocks by what the file $WORLD_CLOCK holds, two 64-bit counts of nanoseconds. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;

__attribute__((constructor)) static void map(void) {
    const char *name = getenv("WORLD_CLOCK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) shift = page;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (failed || !shift) return failed;
    int64_t by;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) by = shift[0];
    else if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME) by = shift[1];
    else return 0;
    int64_t nanoseconds = now->tv_nsec + by % 1000000000;
    now->tv_sec += by / 1000000000;
    if (nanoseconds >= 1000000000) { nanoseconds -= 1000000000; now->tv_sec += 1; }
    if (nanoseconds < 0) { nanoseconds += 1000000000; now->tv_sec -= 1; }
    now->tv_nsec = nanoseconds;
    return 0;
}
