// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/census.hpp"

#include <gtest/gtest.h>

namespace census_unit_test {

using cgctl::census::Memory;
using cgctl::census::Snapshot;

Snapshot with_every_kind() {
  Snapshot snapshot;
  snapshot.cgroups.resize(1);
  snapshot.cgroups[0].own = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  return snapshot;
}

TEST(Holding, LeavesSlabOutWhereItHoldsNothing) {
  Snapshot snapshot = with_every_kind();
  EXPECT_EQ(snapshot.holding(0).slab, 0);
  EXPECT_EQ(snapshot.holding(0).file, 1);
  snapshot.slab_holds = true;
  EXPECT_EQ(snapshot.holding(0).slab, snapshot.cgroups[0].own.slab);
}

TEST(Holding, LeavesPagesOutWhereTheyMoveToTheParent) {
  Snapshot snapshot = with_every_kind();
  snapshot.pages_move = true;
  const Memory& own = snapshot.cgroups[0].own;
  const Memory holding = snapshot.holding(0);
  EXPECT_EQ(holding.file + holding.anon + holding.unevictable + holding.shmem + holding.mapped +
                holding.dirty + holding.writeback,
            0);
  EXPECT_EQ(holding.swap, own.swap);
  EXPECT_EQ(holding.sockets, own.sockets);
}

}  // namespace census_unit_test
