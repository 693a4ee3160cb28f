/* SPDX-License-Identifier: Apache-2.0 */
/* Registers and order: google-coral/coralmicro libs/tpu/edgetpu_driver.cc and libs/tpu/darwinn/driver/config (Apache-2.0). */
#include "tinyc_edgetpu_control.h"

#define CHIP 0x1a000u            /* omc0_00: chip id in bits 0 to 14, a byte for tests in bits 16 to 23 */
#define CHIP_ID 0x89au
#define TEST_BYTE (0xaau << 16)
#define POWER 0x1a318u           /* scu_ctrl_3 */
#define SLEEP_BITS (3u << 22)
#define CLOCK_BITS (0xfu << 28)  /* divider of the core; slow bus; slow USB controller */
#define STATE_BITS (3u << 8)
#define CHUNK_LENGTH 0x4c058u    /* outfeed_chunk_length, in 8 bytes */
#define ALL_TILES 0x7fu

enum { MODIFY, POLL, WRITE };

/* Addresses of 0x1xxxx are registers of 32 bits, all others of 64. */
typedef struct {
    uint32_t address;
    uint32_t bits; /* MODIFY: which change; POLL: which count */
    uint32_t value;
    uint32_t kind;
} operation;

static const operation sleep_and_reset[] = {
    {0x1a30cu, 0x3fu << 8, 0u, MODIFY},         /* scu_ctrl_0: no inactive mode of the PHYs */
    {0x1a314u, 3u << 18, 2u << 18, MODIFY},     /* scu_ctrl_2: no clock gating */
    {POWER, SLEEP_BITS, 3u << 22, MODIFY},      /* force sleep, which resets the core */
    {POWER, STATE_BITS, 2u << 8, POLL},
    {0x1907cu, 0u, 0xfu, WRITE},                /* gcbb_credit0: credits of the bridge start anew */
    {0x1907cu, 0u, 0u, WRITE},
};

static const operation wake[] = {
    {POWER, STATE_BITS, 0u, POLL},
    {0x44018u, ~0u, 0u, POLL},                  /* scalarCoreRunControl: out of reset */
    {0x4a000u, 0u, 1u, WRITE},                  /* idleRegister */
    {0x48788u, 0u, ALL_TILES, WRITE},           /* tileconfig0: what follows goes to all tiles */
    {0x48788u, ~0u, ALL_TILES, POLL},
    {0x40020u, 0u, 2u | (30u << 8), WRITE},     /* deepSleep: delays to sleep and to wake */
    {0x1a314u, 3u << 18, 1u << 18, MODIFY},     /* scu_ctrl_2: clock gating */
    {0x4c148u, 0u, 0xf0u, WRITE},               /* descr_ep: events for interrupts only */
    {0x4c160u, 0u, 0u, WRITE},                  /* multi_bo_ep: everything goes through one endpoint */
    {0x1a0d0u, 0x0fff1f80u, 0xc80u, MODIFY},    /* omc0_d0: clock of the thermometer */
    {0x1a0d8u, 7u, 7u, MODIFY},                 /* omc0_d8: its inputs */
};

static const operation start[] = {
    {0x1a0dcu, 1u, 1u, MODIFY},                 /* omc0_dc: it measures */
    {0x44018u, 0u, 1u, WRITE},                  /* scalarCoreRunControl */
    {0x44158u, 0u, 1u, WRITE},                  /* avDataPopRunControl */
    {0x44198u, 0u, 1u, WRITE},                  /* parameterPopRunControl */
    {0x441d8u, 0u, 1u, WRITE},                  /* infeedRunControl */
    {0x44218u, 0u, 1u, WRITE},                  /* outfeedRunControl */
    {0x48788u, 0u, ALL_TILES, WRITE},
    {0x48788u, ~0u, ALL_TILES, POLL},           /* writes to tiles are not ordered with it */
    {0x400c0u, 0u, 1u, WRITE},                  /* opRunControl */
    {0x40150u, 0u, 1u, WRITE},                  /* narrowToWideRunControl */
    {0x40110u, 0u, 1u, WRITE},                  /* wideToNarrowRunControl */
    {0x40250u, 0u, 1u, WRITE},                  /* meshBus0RunControl to meshBus3RunControl */
    {0x40298u, 0u, 1u, WRITE},
    {0x402e0u, 0u, 1u, WRITE},
    {0x40328u, 0u, 1u, WRITE},
    {0x40190u, 0u, 1u, WRITE},                  /* ringBusConsumer0RunControl, ringBusConsumer1RunControl */
    {0x401d0u, 0u, 1u, WRITE},
    {0x40210u, 0u, 1u, WRITE},                  /* ringBusProducerRunControl */
};

static tinyc_edgetpu_setup request(uint32_t address, int in) {
    const int narrow = (address >> 16) == 1u;
    const tinyc_edgetpu_setup setup = {
        in ? 0xc0u : 0x40u, narrow ? 1u : 0u, (uint16_t)address, (uint16_t)(address >> 16), narrow ? 4u : 8u,
    };
    return setup;
}

/* The low half of a register; `*high` is the other. */
static int read_register(tinyc_edgetpu *tpu, uint32_t address, uint32_t *low, uint32_t *high) {
    const tinyc_edgetpu_transport *usb = tpu->transport;
    const tinyc_edgetpu_setup setup = request(address, 1);
    uint8_t *const data = tpu->buffer;
    uint32_t moved = 0;

    for (uint32_t i = 0; i < 8u; i++) {
        data[i] = 0;
    }
    const int status = usb->control_in(usb->user, &setup, data, tpu->timeout_ms, &moved);
    *low = data[0] | ((uint32_t)data[1] << 8) | ((uint32_t)data[2] << 16) | ((uint32_t)data[3] << 24);
    *high = (uint32_t)data[4] | data[5] | data[6] | data[7];
    return tinyc_edgetpu_exact(status, moved, setup.length);
}

static int write_register(tinyc_edgetpu *tpu, uint32_t address, uint32_t value) {
    const tinyc_edgetpu_transport *usb = tpu->transport;
    const tinyc_edgetpu_setup setup = request(address, 0);
    uint8_t *const data = tpu->buffer;
    uint32_t moved = 0;

    for (uint32_t i = 0; i < 8u; i++) {
        data[i] = (uint8_t)((i < 4u) ? (value >> (8u * i)) : 0u);
    }
    const int status = usb->control_out(usb->user, &setup, data, tpu->timeout_ms, &moved);
    return tinyc_edgetpu_exact(status, moved, setup.length);
}

/* Reads back at the end, so that the write is done. */
static int modify(tinyc_edgetpu *tpu, uint32_t address, uint32_t bits, uint32_t value) {
    uint32_t low = 0, high = 0;
    int status = read_register(tpu, address, &low, &high);

    if (status == TINYC_EDGETPU_OK) {
        status = write_register(tpu, address, (low & ~bits) | value);
    }
    return (status != TINYC_EDGETPU_OK) ? status : read_register(tpu, address, &low, &high);
}

static int poll(tinyc_edgetpu *tpu, uint32_t address, uint32_t bits, uint32_t value) {
    for (uint32_t left = tpu->timeout_ms;; left--) {
        uint32_t low = 0, high = 0;
        const int status = read_register(tpu, address, &low, &high);

        if ((status != TINYC_EDGETPU_OK) || (((low & bits) == value) && (high == 0u))) {
            return status;
        }
        if (left == 0u) {
            return TINYC_EDGETPU_NOT_READY;
        }
        tpu->transport->delay(tpu->transport->user, 1000u);
    }
}

static int perform(tinyc_edgetpu *tpu, const operation *list, uint32_t count) {
    int status = TINYC_EDGETPU_OK;

    for (uint32_t i = 0; (i < count) && (status == TINYC_EDGETPU_OK); i++) {
        const operation *const now = &list[i];

        if (now->kind == MODIFY) {
            status = modify(tpu, now->address, now->bits, now->value);
        } else if (now->kind == POLL) {
            status = poll(tpu, now->address, now->bits, now->value);
        } else {
            status = write_register(tpu, now->address, now->value);
        }
    }
    return status;
}

static int check_chip(tinyc_edgetpu *tpu) {
    uint32_t low = 0, high = 0;
    int status = read_register(tpu, CHIP, &low, &high);

    if (status != TINYC_EDGETPU_OK) {
        return status;
    }
    if ((low & 0x7fffu) != CHIP_ID) {
        return TINYC_EDGETPU_CHIP;
    }
    status = write_register(tpu, CHIP, (low & ~(0xffu << 16)) | TEST_BYTE);
    if (status == TINYC_EDGETPU_OK) {
        status = read_register(tpu, CHIP, &low, &high);
    }
    return ((status == TINYC_EDGETPU_OK) && ((low & (0xffu << 16)) != TEST_BYTE)) ? TINYC_EDGETPU_CHIP : status;
}

TINYC_EDGETPU_FUNCTION int tinyc_edgetpu_open(tinyc_edgetpu *tpu, const tinyc_edgetpu_transport *transport, uint32_t clock, uint32_t timeout_ms) {
    /* Bus at 250 MHz for the fastest clock only, USB controller at 250 MHz for the slowest only. */
    const uint32_t slow_bus = (clock != TINYC_EDGETPU_500_MHZ) ? (1u << 30) : 0u;
    const uint32_t slow_usb = (clock == TINYC_EDGETPU_63_MHZ) ? (1u << 31) : 0u;
    const uint32_t clocks = ((clock & 3u) << 28) | slow_bus | slow_usb;

    tpu->transport = transport;
    tpu->timeout_ms = timeout_ms;
    tpu->open = 0u;
    tpu->token[0] = 0u;
    tpu->token[1] = 0u;
    for (uint32_t i = 0; i < TINYC_EDGETPU_CACHED; i++) {
        tpu->cached[i] = NULL;
    }
    int status = check_chip(tpu);
    if (status == TINYC_EDGETPU_OK) {
        status = perform(tpu, sleep_and_reset, sizeof(sleep_and_reset) / sizeof(sleep_and_reset[0]));
    }
    if (status == TINYC_EDGETPU_OK) {
        status = modify(tpu, POWER, SLEEP_BITS | CLOCK_BITS, (2u << 22) | clocks);
    }
    if (status == TINYC_EDGETPU_OK) {
        status = perform(tpu, wake, sizeof(wake) / sizeof(wake[0]));
    }
    if (status == TINYC_EDGETPU_OK) {
        status = write_register(tpu, CHUNK_LENGTH, transport->super_speed ? 0x80u : 0x20u);
    }
    if (status == TINYC_EDGETPU_OK) {
        transport->delay(transport->user, 100u); /* the thermometer's inputs settle */
        status = perform(tpu, start, sizeof(start) / sizeof(start[0]));
    }
    tpu->open = (status == TINYC_EDGETPU_OK) ? 1u : 0u;
    return status;
}
