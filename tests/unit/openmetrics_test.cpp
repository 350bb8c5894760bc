// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/openmetrics.hpp"

#include <gtest/gtest.h>

#include <string>

namespace openmetrics_test {

using namespace cgctl::tool;

bool prefers(const std::string& headers) {
  return prefers_openmetrics("GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
}

TEST(OpenMetrics, IsGivenToClientsThatPreferIt) {
  EXPECT_TRUE(prefers("Accept: application/openmetrics-text\r\n"));
  EXPECT_TRUE(prefers("aCCept:Application/OpenMetrics-Text; version=1.0.0\r\n"));
  EXPECT_TRUE(
      prefers("Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
              "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"));
  EXPECT_TRUE(prefers("Accept: text/plain;q=0.5,\tapplication/openmetrics-text;q=0.50\r\n"));
  EXPECT_TRUE(prefers("Accept: text/plain;q=0.09,application/openmetrics-text;q=0.1\r\n"));
}

TEST(OpenMetrics, IsNotGivenToOthers) {
  EXPECT_FALSE(prefers(""));
  EXPECT_FALSE(prefers("Accept:\r\n"));
  EXPECT_FALSE(prefers("Accept: */*\r\n"));
  EXPECT_FALSE(prefers("Accept: application/openmetrics-text;q=0\r\n"));
  EXPECT_FALSE(prefers("Accept: application/openmetrics-text;q=0.000\r\n"));
  EXPECT_FALSE(prefers("Accept: application/openmetrics-text;q=0.\r\n"));
  EXPECT_FALSE(prefers("Accept: text/plain, application/openmetrics-text;q=0.999\r\n"));
  EXPECT_FALSE(prefers("Accept-Language: application/openmetrics-text\r\n"));
}

TEST(OpenMetrics, NamesFamiliesWithoutTheirEndings) {
  EXPECT_EQ(openmetrics("# HELP uses_total Uses of it.\n"
                        "# TYPE uses_total counter\n"
                        "uses_total{result=\"good\"} 3\n"
                        "# HELP build_info Always 1.\n"
                        "# TYPE build_info gauge\n"
                        "build_info{version=\"1\"} 1\n"),
            "# HELP uses Uses of it.\n"
            "# TYPE uses counter\n"
            "uses_total{result=\"good\"} 3\n"
            "# HELP build Always 1.\n"
            "# TYPE build info\n"
            "build_info{version=\"1\"} 1\n"
            "# EOF\n");
}

TEST(OpenMetrics, TellsTheUnits) {
  EXPECT_EQ(openmetrics("# TYPE read_seconds gauge\nread_seconds 0.1\n"
                        "# TYPE lost_bytes_total counter\nlost_bytes_total 5\n"),
            "# TYPE read_seconds gauge\n# UNIT read_seconds seconds\nread_seconds 0.1\n"
            "# TYPE lost_bytes counter\n# UNIT lost_bytes bytes\nlost_bytes_total 5\n"
            "# EOF\n");
}

}  // namespace openmetrics_test
