// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/host.hpp"
#include "cgctl/settings.hpp"

/// Limits the I/O of a cgroup to block devices: `blkio.throttle.*` of v1
/// (cgroup-v1/blkio-controller.rst), `io.max` of v2 (cgroup-v2.rst). On v1 buffered writes are not
/// limited, because the kernel's own threads make them.
namespace cgctl::io {

/// The number of a block device.
struct Device {
  std::uint32_t major_number = 0;
  std::uint32_t minor_number = 0;
};
inline bool operator==(const Device& a, const Device& b) noexcept {
  return a.major_number == b.major_number && a.minor_number == b.minor_number;
}
/// Returns "254:0".
std::string to_string(const Device& device);

/// Finds a device by its number ("254:0"), the path of its file ("/dev/vda"), or a path on its file
/// system ("/var/lib"). For a partition returns the disk, because the kernel limits only disks.
/// errc::invalid_argument if the path is on no block device, as on tmpfs.
[[nodiscard]] Result<Device> find_device(const Host& host, const std::string& name);

/// Returns the kernel's name of a device, such as "vda"; empty if that is not known.
std::string device_name(const Host& host, const Device& device);

/// A limit in bytes or operations per second.
struct Rate {
  std::optional<std::uint64_t> per_second;  ///< absent: no limit
};

/// The limits of one device. In a change, an absent rate stays as it is.
struct Limits {
  Device device;
  std::optional<Rate> read_bytes;
  std::optional<Rate> write_bytes;
  std::optional<Rate> reads;
  std::optional<Rate> writes;
};

struct State {
  Version version = Version::v1;
  std::vector<Limits> limits;  ///< of the devices that have a limit
};

/// Reads the limits. errc::unsupported if the host has no io (v1: blkio) controller, the cgroup has
/// it not enabled or the kernel lacks throttling; errc::vanished if its hierarchy has no cgroup.
[[nodiscard]] Result<State> state(const Group& group);

/// Returns what set() would write, for settings::apply(). errc::invalid_argument for a change
/// without a rate, a rate of 0, and the root of v2. Errors of Group::place().
[[nodiscard]] Result<std::vector<settings::Setting>> plan(const Group& group,
                                                          const std::vector<Limits>& changes);

/// Sets the limits of some devices, all or none. Errors of plan() and of settings::apply(); ENODEV
/// if there is no such disk.
[[nodiscard]] Result<std::vector<settings::Written>> set(const Group& group,
                                                         const std::vector<Limits>& changes);

}  // namespace cgctl::io
