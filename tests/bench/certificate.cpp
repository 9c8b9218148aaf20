#include "tests/bench/certificate.hpp"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>

#include "tests/bench/net.hpp"

namespace spillway::bench {
namespace {

constexpr long kDaySeconds = 24L * 60 * 60;

void extend(X509* certificate, int kind, const char* value) {
  X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
  if (made == nullptr || X509_add_ext(certificate, made, -1) != 1) give_up("certificate extension");
  X509_EXTENSION_free(made);
}

X509* self_signed(EVP_PKEY* key) {
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), static_cast<long>(now_ns() >> 16));
  X509_gmtime_adj(X509_getm_notBefore(certificate), -kDaySeconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate), kDaySeconds);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
  extend(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  if (X509_sign(certificate, key, EVP_sha256()) == 0) give_up("sign the certificate");
  return certificate;
}

}  // namespace

SSL_CTX* make_server_context(const std::string& pem_file) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  if (key == nullptr) give_up("make a key");
  X509* certificate = self_signed(key);
  std::FILE* file = std::fopen(pem_file.c_str(), "w");
  if (file == nullptr || PEM_write_X509(file, certificate) != 1) give_up(pem_file);
  std::fclose(file);

  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr || SSL_CTX_use_certificate(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey(context, key) != 1)
    give_up("TLS context");
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

}  // namespace spillway::bench
