/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations as in NXP's SDK, for a check of types. */
#pragma once
#include <stdint.h>

extern "C" void SDK_DelayAtLeastUs(uint32_t delayTime_us, uint32_t coreClock_Hz);
