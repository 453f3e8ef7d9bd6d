#include "storage/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/files.hpp"
#include "storage/half.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string with_length(uint64_t header_bytes, std::string_view rest) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &header_bytes, 8);
  return file.append(rest);
}

TEST(Safetensors, RoundTripOfEveryDtype) {
  const TemporaryFolder folder;
  Rng rng(5);
  std::map<std::string, std::vector<std::byte>> contents;
  std::vector<TensorView> views;
  for (const DType dtype :
       {DType::kBool, DType::kU8, DType::kI8, DType::kU16, DType::kI16, DType::kF16, DType::kBF16,
        DType::kU32, DType::kI32, DType::kF32, DType::kU64, DType::kI64, DType::kF64}) {
    const std::string name(dtype_name(dtype));
    std::vector<std::byte>& data = contents[name];
    data.resize(15 * dtype_size(dtype));
    for (std::byte& byte : data) byte = static_cast<std::byte>(rng.next());
    views.push_back({name, dtype, {3, 5}, data});
  }
  const Metadata metadata = {{"format", "pt"}, {"quote \" \\ \n", "é\t"}};
  write_safetensors(folder / "x.safetensors", views, metadata);

  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_EQ(file.tensors().size(), 13u);
  size_t previous_size = 8;
  for (const TensorInfo& tensor : file.tensors()) {
    EXPECT_EQ(tensor.name, dtype_name(tensor.dtype));
    EXPECT_THAT(tensor.shape, ElementsAre(3, 5));
    EXPECT_EQ(tensor.element_count(), 15);
    const auto bytes = file.bytes(tensor.name);
    EXPECT_TRUE(std::ranges::equal(bytes, contents.at(tensor.name))) << tensor.name;
    EXPECT_LE(dtype_size(tensor.dtype), previous_size);  // widest first: all data is aligned
    previous_size = dtype_size(tensor.dtype);
  }
}

TEST(Safetensors, TypedReadsAndSpecialValues) {
  const TemporaryFolder folder;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> floats = {1.5f, nan, -infinity, 1e-45f};
  const std::vector<double> doubles = {0.1, -1e300};
  const std::vector<uint16_t> ids = {0, 65535, 7};
  const std::vector<int64_t> starts = {-1, int64_t{1} << 40};
  const std::vector<float> none;
  write_safetensors(folder / "x.safetensors",
                    {tensor_view("floats", {2, 2}, floats),
                     tensor_view("doubles", {2}, doubles),
                     tensor_view("ids", {3}, ids),
                     tensor_view("starts", {2}, starts),
                     tensor_view("none", {0, 4}, none),
                     tensor_view("scalar", {}, std::vector<int32_t>{3}),
                     {"half", DType::kF16, {3}, std::as_bytes(std::span(ids))}});
  const SafetensorsFile file(folder / "x.safetensors");

  const auto read = file.read<float>("floats", {2, -1});
  EXPECT_EQ(std::memcmp(read.data(), floats.data(), 16), 0);
  EXPECT_EQ(file.read<uint16_t>("ids"), ids);
  EXPECT_EQ(file.read<int64_t>("starts", {2}), starts);
  EXPECT_TRUE(file.read<float>("none", {-1, 4}).empty());
  EXPECT_THAT(file.read<int32_t>("scalar"), ElementsAre(3));
  EXPECT_THAT(file.read_float("doubles"), ElementsAre(0.1f, -infinity));
  EXPECT_EQ(file.read_float("floats").at(3), 1e-45f);
  const auto half = file.read_float("half", {3});
  EXPECT_EQ(half[0], 0.0f);
  EXPECT_TRUE(std::isnan(half[1]));
  EXPECT_EQ(half[2], float_from_half(7));
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Safetensors, ReadErrorsSayWhatIsThere) {
  const TemporaryFolder folder;
  const std::string path = (folder / "x.safetensors").string();
  write_safetensors(path, {tensor_view("weight", {2, 3}, std::vector<float>(6)),
                           tensor_view("count", {1}, std::vector<int64_t>(1))});
  const SafetensorsFile file(path);
  EXPECT_EQ(message_of([&] { file.info("wieght"); }),
            path + ": has no tensor 'wieght'; the nearest name is 'weight'");
  EXPECT_EQ(message_of([&] {
              file.read<float>("weight", {3, -1});
            }),
            path + ": tensor 'weight' has shape [2, 3], expected [3, *]");
  EXPECT_EQ(message_of([&] { file.read<float>("weight", {6}); }),
            path + ": tensor 'weight' has shape [2, 3], expected [6]");
  EXPECT_EQ(message_of([&] { file.read<double>("weight"); }),
            path + ": tensor 'weight' is F32, expected F64");
  EXPECT_EQ(message_of([&] { file.read_float("count"); }),
            path + ": tensor 'count' is I64, expected F32, F64, F16 or BF16");
  EXPECT_THAT(message_of([&] { file.metadata("model"); }), HasSubstr("has no metadata 'model'"));
}

TEST(Safetensors, OpeningErrors) {
  const TemporaryFolder folder;
  EXPECT_EQ(message_of([&] { SafetensorsFile{folder / "none"}; }),
            (folder / "none").string() + ": cannot be opened: No such file or directory");
  EXPECT_THAT(message_of([&] { SafetensorsFile{folder.path()}; }), HasSubstr("Is a directory"));
  write_file_atomic(folder / "empty", "");
  EXPECT_THAT(message_of([&] { SafetensorsFile{folder / "empty"}; }), HasSubstr("too short"));
}

TEST(Safetensors, UnalignedDataIsRead) {
  const TemporaryFolder folder;
  const std::vector<double> values = {1.25, -3.5};
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("f64":{"dtype":"F64","shape":[2],"data_offsets":[1,17]},)"
                       R"("bf16":{"dtype":"BF16","shape":[1],"data_offsets":[17,19]}})";
  if (header.size() % 2 == 0) header += ' ';
  std::string file = with_length(header.size(), header);
  file += '\x07';
  file.append(reinterpret_cast<const char*>(values.data()), 16);
  file += "\x80\x3f";
  write_file_atomic(folder / "x", file);
  const SafetensorsFile opened(folder / "x");
  EXPECT_EQ(opened.read<double>("f64"), values);
  EXPECT_THAT(opened.read_float("f64"), ElementsAre(1.25f, -3.5f));
  EXPECT_THAT(opened.read_float("bf16"), ElementsAre(1.0f));
}

TEST(Safetensors, BytesAreAsTheReferenceWritesThem) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x",
                    {tensor_view("b", {1}, std::vector<uint8_t>{9}),
                     tensor_view("z", {1}, std::vector<float>{1.0f}),
                     tensor_view("a", {1}, std::vector<float>{2.0f})},
                    {{"format", "pt"}});
  std::string header = R"({"__metadata__":{"format":"pt"},)"
                       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                       R"("z":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
                       R"("b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  EXPECT_EQ(read_file(folder / "x"),
            with_length(header.size(), header) + std::string("\0\0\0\x40\0\0\x80\x3f\x09", 9));
}

TEST(Safetensors, MapOfAReplacedFileStaysWhole) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", {tensor_view("w", {2}, std::vector<float>{1, 2})});
  const SafetensorsFile before(folder / "x");
  write_safetensors(folder / "x", {tensor_view("w", {1}, std::vector<float>{3})});
  EXPECT_THAT(before.read<float>("w"), ElementsAre(1.0f, 2.0f));
  EXPECT_THAT(SafetensorsFile(folder / "x").read<float>("w"), ElementsAre(3.0f));
}

TEST(Safetensors, WriterChecksItsCaller) {
  const TemporaryFolder folder;
  const std::vector<float> data(2);
  EXPECT_THROW(write_safetensors(folder / "x", {tensor_view("w", {3}, data)}), InternalError);
  EXPECT_THROW(
      write_safetensors(folder / "x", {tensor_view("w", {2}, data), tensor_view("w", {2}, data)}),
      InternalError);
  EXPECT_THROW(write_safetensors(folder / "x", {tensor_view("__metadata__", {2}, data)}),
               InternalError);
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
}

}  // namespace
}  // namespace featflow
