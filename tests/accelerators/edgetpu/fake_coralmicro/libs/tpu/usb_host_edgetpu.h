/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations as in coralmicro's libs/tpu/usb_host_edgetpu.h and NXP's USB host stack, for a check of types. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef void *usb_host_handle;
typedef void *usb_device_handle;
typedef void *usb_host_pipe_handle;
typedef void *usb_host_class_handle;
typedef void *usb_host_interface_handle;

typedef enum _usb_status {
  kStatus_USB_Success = 0,
  kStatus_USB_Error,
  kStatus_USB_Busy,
  kStatus_USB_InvalidHandle,
  kStatus_USB_TransferStall = 15,
  kStatus_USB_TransferFailed,
  kStatus_USB_TransferCancel
} usb_status_t;

typedef enum _usb_direction { USB_OUT = 0, USB_IN = 1 } usb_direction_t;

typedef struct _usb_setup_struct {
  uint8_t bmRequestType;
  uint8_t bRequest;
  uint16_t wValue;
  uint16_t wIndex;
  uint16_t wLength;
} usb_setup_struct_t;

typedef struct _usb_host_transfer usb_host_transfer_t;
typedef void (*transfer_callback_t)(void *param, uint8_t *data, uint32_t dataLen, usb_status_t status);

#define USB_EDGETPU_ENDPOINT_NUM 6

typedef struct _usb_host_edgetpu_pipe {
  usb_host_pipe_handle pipeHandle;
  uint8_t pipeType;
  uint16_t packetSize;
  uint8_t endPoint;
  uint8_t direction;
} usb_host_edgetpu_pipe_t;

typedef struct _usb_host_edgetpu_instance {
  usb_host_handle hostHandle;
  usb_device_handle deviceHandle;
  usb_host_interface_handle interfaceHandle;
  usb_host_edgetpu_pipe_t pipes[USB_EDGETPU_ENDPOINT_NUM];
  usb_host_pipe_handle controlPipe;
  usb_host_transfer_t *controlTransfer;
} usb_host_edgetpu_instance_t;

#ifdef __cplusplus
extern "C" {
#endif
usb_status_t USB_HostCancelTransfer(usb_host_handle hostHandle, usb_host_pipe_handle pipeHandle, usb_host_transfer_t *transfer);
usb_status_t USB_HostEdgeTpuGetStatus(usb_host_class_handle classHandle, uint8_t *statusData, transfer_callback_t callbackFn,
                                      void *callbackParam);
usb_status_t USB_HostEdgeTpuBulkOutSend(usb_host_edgetpu_instance_t *tpuInstance, uint8_t endPoint, uint8_t *buffer,
                                        uint16_t length, transfer_callback_t callbackFn, void *callbackParam);
usb_status_t USB_HostEdgeTpuBulkInRecv(usb_host_edgetpu_instance_t *tpuInstance, uint8_t endPoint, uint8_t *buffer,
                                       uint32_t bufferLength, transfer_callback_t callbackFn, void *callbackParam);
usb_status_t USB_HostEdgeTpuControl(usb_host_edgetpu_instance_t *tpuInstance, usb_setup_struct_t *setupPacket, uint8_t *buffer,
                                    transfer_callback_t callbackFn, void *callbackParam);
#ifdef __cplusplus
}
#endif
