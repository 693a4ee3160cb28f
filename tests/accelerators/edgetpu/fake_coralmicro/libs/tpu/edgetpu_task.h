/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations as in coralmicro's libs/tpu/edgetpu_task.h, for a check of types. */
#pragma once
#include "libs/tpu/usb_host_edgetpu.h"

namespace coralmicro {
class EdgeTpuTask {
 public:
  bool GetPower();
  void SetPower(bool enable);
  static EdgeTpuTask *GetSingleton();
  void SetClassHandle(usb_host_class_handle handle);
  usb_host_class_handle class_handle() const;
};
}  // namespace coralmicro
