/* SPDX-License-Identifier: Apache-2.0 */
/* coralmicro's tasks do power, enumeration and firmware; this moves bytes. Transfers go through memory of its own: coralmicro links
 * plain static memory into the DTCM, which has no cache that the USB controller would miss. */
#include "tinyc_edgetpu_coralmicro.h"

#include <cstring>

#include "libs/tpu/edgetpu_task.h"
#include "libs/tpu/usb_host_edgetpu.h"
#include "third_party/freertos_kernel/include/FreeRTOS.h"
#include "third_party/freertos_kernel/include/semphr.h"
#include "third_party/freertos_kernel/include/task.h"
#include "third_party/nxp/rt1176-sdk/devices/MIMXRT1176/drivers/fsl_clock.h"
#include "third_party/nxp/rt1176-sdk/devices/MIMXRT1176/drivers/fsl_common.h"

namespace tinyc {
namespace {

constexpr uint8_t kDataEndpoint = 1;
constexpr uint8_t kEventEndpoint = 2;
constexpr uint32_t kBufferSize = 16 * 1024;  // BulkOutSend takes the length in 16 bits
constexpr uint32_t kCancelMs = 100;
constexpr uint32_t kPollMs = 10;

alignas(32) uint8_t buffer[kBufferSize];
StaticSemaphore_t semaphore_memory;
SemaphoreHandle_t semaphore = nullptr;

struct Outcome {
  volatile usb_status_t status;
  volatile uint32_t moved;
};
Outcome outcome;

usb_host_edgetpu_instance_t* Instance() {
  return static_cast<usb_host_edgetpu_instance_t*>(coralmicro::EdgeTpuTask::GetSingleton()->class_handle());
}

void Done(void* /*param*/, uint8_t* /*data*/, uint32_t length, usb_status_t status) {
  outcome.status = status;
  outcome.moved = length;
  xSemaphoreGive(semaphore);
}

int StatusOf(usb_status_t status) {
  switch (status) {
    case kStatus_USB_Success:
      return TINYC_EDGETPU_OK;
    case kStatus_USB_TransferStall:
      return TINYC_EDGETPU_STALL;
    case kStatus_USB_InvalidHandle:
      return TINYC_EDGETPU_GONE;
    default:
      return TINYC_EDGETPU_ERROR;
  }
}

/* Waits for the transfer that was started; one that does not end in time is taken back, so that nothing touches the buffer later. */
int Await(usb_host_edgetpu_instance_t* instance, usb_host_pipe_handle pipe, uint32_t timeout_ms, uint32_t* transferred) {
  if (xSemaphoreTake(semaphore, pdMS_TO_TICKS(timeout_ms)) == pdTRUE) {
    *transferred = outcome.moved;
    return StatusOf(outcome.status);
  }
  USB_HostCancelTransfer(instance->hostHandle, pipe, nullptr);
  (void)xSemaphoreTake(semaphore, pdMS_TO_TICKS(kCancelMs));
  *transferred = 0;
  return TINYC_EDGETPU_TIMEOUT;
}

usb_host_pipe_handle PipeOf(usb_host_edgetpu_instance_t* instance, uint8_t endpoint, uint8_t direction) {
  for (auto& pipe : instance->pipes) {
    if (pipe.endPoint == endpoint && pipe.direction == direction) {
      return pipe.pipeHandle;
    }
  }
  return nullptr;
}

int Control(const tinyc_edgetpu_setup* setup, uint32_t timeout_ms, uint32_t* transferred) {
  auto* instance = Instance();
  if (instance == nullptr) {
    return TINYC_EDGETPU_GONE;
  }
  usb_setup_struct_t packet;
  packet.bmRequestType = setup->request_type;
  packet.bRequest = setup->request;
  packet.wValue = setup->value;
  packet.wIndex = setup->index;
  packet.wLength = setup->length;
  if (USB_HostEdgeTpuControl(instance, &packet, buffer, Done, nullptr) != kStatus_USB_Success) {
    return TINYC_EDGETPU_ERROR;
  }
  return Await(instance, instance->controlPipe, timeout_ms, transferred);
}

int ControlIn(void* /*user*/, const tinyc_edgetpu_setup* setup, uint8_t* data, uint32_t timeout_ms, uint32_t* transferred) {
  const int status = Control(setup, timeout_ms, transferred);
  if (status == TINYC_EDGETPU_OK && *transferred <= setup->length) {
    std::memcpy(data, buffer, *transferred);
  }
  return status;
}

int ControlOut(void* /*user*/, const tinyc_edgetpu_setup* setup, const uint8_t* data, uint32_t timeout_ms,
               uint32_t* transferred) {
  if (setup->length != 0) {
    std::memcpy(buffer, data, setup->length);
  }
  return Control(setup, timeout_ms, transferred);
}

int BulkOut(void* /*user*/, const uint8_t* data, uint32_t size, uint32_t timeout_ms, uint32_t* transferred) {
  auto* instance = Instance();
  if (instance == nullptr) {
    return TINYC_EDGETPU_GONE;
  }
  const uint32_t length = size < kBufferSize ? size : kBufferSize;
  std::memcpy(buffer, data, length);
  if (USB_HostEdgeTpuBulkOutSend(instance, kDataEndpoint, buffer, static_cast<uint16_t>(length), Done, nullptr) !=
      kStatus_USB_Success) {
    return TINYC_EDGETPU_ERROR;
  }
  return Await(instance, PipeOf(instance, kDataEndpoint, USB_OUT), timeout_ms, transferred);
}

int Receive(uint8_t endpoint, uint8_t* data, uint32_t size, uint32_t timeout_ms, uint32_t* transferred) {
  auto* instance = Instance();
  if (instance == nullptr) {
    return TINYC_EDGETPU_GONE;
  }
  const uint32_t length = size < kBufferSize ? size : kBufferSize;
  if (USB_HostEdgeTpuBulkInRecv(instance, endpoint, buffer, length, Done, nullptr) != kStatus_USB_Success) {
    return TINYC_EDGETPU_ERROR;
  }
  const int status = Await(instance, PipeOf(instance, endpoint, USB_IN), timeout_ms, transferred);
  if (status == TINYC_EDGETPU_OK && *transferred <= length) {
    std::memcpy(data, buffer, *transferred);
  }
  return status;
}

int BulkIn(void* /*user*/, uint8_t* data, uint32_t size, uint32_t timeout_ms, uint32_t* transferred) {
  return Receive(kDataEndpoint, data, size, timeout_ms, transferred);
}

int EventIn(void* /*user*/, uint8_t* data, uint32_t size, uint32_t timeout_ms, uint32_t* transferred) {
  return Receive(kEventEndpoint, data, size, timeout_ms, transferred);
}

void Delay(void* /*user*/, uint32_t microseconds) {
  if (microseconds >= 1000) {
    vTaskDelay(pdMS_TO_TICKS((microseconds + 999) / 1000) + 1);
  } else {
    SDK_DelayAtLeastUs(microseconds, CLOCK_GetFreq(kCLOCK_CpuClk));
  }
}

}  // namespace

int CoralmicroOpen(tinyc_edgetpu_transport* transport, uint32_t timeout_ms) {
  if (semaphore == nullptr) {
    semaphore = xSemaphoreCreateBinaryStatic(&semaphore_memory);
  }
  coralmicro::EdgeTpuTask::GetSingleton()->SetPower(true);
  for (uint32_t waited = 0; USB_HostEdgeTpuGetStatus(Instance(), nullptr, nullptr, nullptr) != kStatus_USB_Success;
       waited += kPollMs) {
    if (waited >= timeout_ms) {
      return TINYC_EDGETPU_NOT_READY;
    }
    vTaskDelay(pdMS_TO_TICKS(kPollMs));
  }
  *transport = {ControlIn, ControlOut, BulkOut, BulkIn, EventIn, Delay, nullptr, 0};
  return TINYC_EDGETPU_OK;
}

void CoralmicroClose() {
  auto* task = coralmicro::EdgeTpuTask::GetSingleton();
  task->SetPower(false);
  vTaskDelay(pdMS_TO_TICKS(kCancelMs));  // until its detaching is handled
  task->SetClassHandle(nullptr);         // which coralmicro leaves dangling
}

}  // namespace tinyc
