#ifndef PROFILE_H_
#define PROFILE_H_

/* Leaves what the steps took in a file: for each three words, ticks, turns and calls. */
void profile_write(void);

#endif
