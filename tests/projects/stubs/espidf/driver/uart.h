/* SPDX-License-Identifier: Apache-2.0 */
/* The little of ESP-IDF's UART driver that a generated main uses, with its signatures. */
#ifndef DRIVER_UART_H
#define DRIVER_UART_H

#include <stddef.h>
#include <stdint.h>

#include "freertos/FreeRTOS.h"

typedef int esp_err_t;
typedef int uart_port_t;
typedef void *QueueHandle_t;
#define UART_NUM_0 0

esp_err_t uart_driver_install(uart_port_t port, int rx_size, int tx_size, int queue_size, QueueHandle_t *queue, int flags);
int uart_write_bytes(uart_port_t port, const void *source, size_t size);
int uart_read_bytes(uart_port_t port, void *target, uint32_t length, TickType_t ticks);

#endif
