"""Broker keys of authentication, encryption and authorization."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
authorizer.class.name                         string    ""          -         read-only   L  not_yet:security
    Who decides what each user may do; empty is nobody, everything is allowed.
super.users                                   string    ""          -         read-only   Mi  not_yet:security
    Users who may do everything, separated by semicolons.
allow.everyone.if.no.acl.found                boolean   false       -         read-only   Mi  not_yet:security
    Whether a resource without any ACL is open to everybody.
principal.builder.class                       class     org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder  -         per-broker  M  not_yet:security
    The class that derives a user's name from a connection.
security.providers                            string    -           -         read-only   L  not_yet:security
    Java classes that provide security algorithms.
delegation.token.secret.key                   password  -           -         read-only   M  not_yet:security
    The secret that delegation tokens are signed with; unset, there are none.
delegation.token.expiry.check.interval.ms     long      3600000     1..       read-only   L  not_yet:security
    How often expired delegation tokens are looked for.
delegation.token.expiry.time.ms               long      86400000    1..       read-only   M  not_yet:security
    How long a delegation token is valid before it must be renewed.
delegation.token.max.lifetime.ms              long      604800000   1..       read-only   M  not_yet:security
    How long a delegation token may be renewed.
ssl.allow.dn.changes                          boolean   false       -         read-only   L  not_yet:security
    Whether a new key store may have another distinguished name.
ssl.allow.san.changes                         boolean   false       -         read-only   L  not_yet:security
    Whether a new key store may have other subject alternative names.
ssl.cipher.suites                             list      ""          -         per-broker  M  not_yet:security
    The cipher suites that may be used; empty is the library's choice.
ssl.client.auth                               string    none        required,requested,none  per-broker  M  not_yet:security
    Whether clients must, may or need not show a certificate.
ssl.enabled.protocols                         list      TLSv1.2,TLSv1.3  -         per-broker  M  not_yet:security
    The TLS versions that may be used.
ssl.endpoint.identification.algorithm         string    https       -         per-broker  L  not_yet:security
    How a server's host name is checked against its certificate.
ssl.engine.factory.class                      class     -           -         per-broker  L  not_yet:security
    The class that makes TLS engines.
ssl.key.password                              password  -           -         per-broker  M  not_yet:security
    The password of the private key.
ssl.keymanager.algorithm                      string    SunX509     -         per-broker  M  not_yet:security
    The algorithm of the key manager.
ssl.keystore.certificate.chain                password  -           -         per-broker  M  not_yet:security
    The certificate chain in PEM.
ssl.keystore.key                              password  -           -         per-broker  M  not_yet:security
    The private key in PEM.
ssl.keystore.location                         string    -           -         per-broker  M  not_yet:security
    The file with key and certificates.
ssl.keystore.password                         password  -           -         per-broker  M  not_yet:security
    The password of the key store.
ssl.keystore.type                             string    JKS         -         per-broker  M  not_yet:security
    The format of the key store.
ssl.principal.mapping.rules                   string    DEFAULT     -         read-only   L  not_yet:security
    How a certificate's distinguished name becomes a user name.
ssl.protocol                                  string    TLSv1.3     -         per-broker  M  not_yet:security
    The TLS version that is preferred.
ssl.provider                                  string    -           -         per-broker  M  not_yet:security
    The security provider used for TLS.
ssl.secure.random.implementation              string    -           -         per-broker  L  not_yet:security
    The source of randomness for TLS.
ssl.trustmanager.algorithm                    string    PKIX        -         per-broker  M  not_yet:security
    The algorithm of the trust manager.
ssl.truststore.certificates                   password  -           -         per-broker  M  not_yet:security
    The trusted certificates in PEM.
ssl.truststore.location                       string    -           -         per-broker  M  not_yet:security
    The file with trusted certificates.
ssl.truststore.password                       password  -           -         per-broker  M  not_yet:security
    The password of the trust store.
ssl.truststore.type                           string    JKS         -         per-broker  M  not_yet:security
    The format of the trust store.
sasl.client.callback.handler.class            class     -           -         read-only   M  not_yet:security
    The class that answers a SASL client's questions.
sasl.enabled.mechanisms                       list      GSSAPI      -         per-broker  M  not_yet:security
    The SASL mechanisms that are offered.
sasl.jaas.config                              password  -           -         per-broker  M  not_yet:security
    The login configuration of a SASL listener.
sasl.kerberos.kinit.cmd                       string    /usr/bin/kinit  -         per-broker  M  no_meaning:kerberos
    Where kinit is.
sasl.kerberos.min.time.before.relogin         long      60000       -         per-broker  M  no_meaning:kerberos
    How long a Kerberos login rests before the next try.
sasl.kerberos.principal.to.local.rules        list      DEFAULT     -         per-broker  M  not_yet:security
    How a Kerberos principal becomes a user name.
sasl.kerberos.service.name                    string    -           -         per-broker  M  not_yet:security
    The Kerberos name the broker runs under.
sasl.kerberos.ticket.renew.jitter             double    0.05        -         per-broker  M  no_meaning:kerberos
    How much the renewal of tickets is spread at random.
sasl.kerberos.ticket.renew.window.factor      double    0.8         -         per-broker  M  no_meaning:kerberos
    At what part of a ticket's life it is renewed.
sasl.login.callback.handler.class             class     -           -         read-only   M  not_yet:security
    The class that answers questions of the SASL login.
sasl.login.class                              class     -           -         read-only   M  not_yet:security
    The class that does the SASL login.
sasl.login.connect.timeout.ms                 int       -           -         read-only   L  not_yet:security
    How long to wait for a connection to the identity provider.
sasl.login.read.timeout.ms                    int       -           -         read-only   L  not_yet:security
    How long to wait for an answer of the identity provider.
sasl.login.refresh.buffer.seconds             short     300         -         per-broker  M  not_yet:security
    How long before its end a credential is refreshed at the latest.
sasl.login.refresh.min.period.seconds         short     60          -         per-broker  M  not_yet:security
    How long a credential is used before it is refreshed.
sasl.login.refresh.window.factor              double    0.8         -         per-broker  M  not_yet:security
    At what part of a credential's life it is refreshed.
sasl.login.refresh.window.jitter              double    0.05        -         per-broker  M  not_yet:security
    How much the refresh of credentials is spread at random.
sasl.login.retry.backoff.ms                   long      100         -         read-only   L  not_yet:security
    How long before the identity provider is asked again.
sasl.login.retry.backoff.max.ms               long      10000       -         read-only   L  not_yet:security
    The ceiling of the wait before the identity provider is asked again.
sasl.mechanism.controller.protocol            string    GSSAPI      -         read-only   H  no_meaning:quorum
    The SASL mechanism towards controllers.
sasl.mechanism.inter.broker.protocol          string    GSSAPI      -         per-broker  M  no_meaning:replication
    The SASL mechanism between brokers.
sasl.server.callback.handler.class            class     -           -         read-only   M  not_yet:security
    The class that answers a SASL server's questions.
sasl.server.max.receive.size                  int       524288      -         read-only   M  not_yet:security
    How large a message of the SASL exchange may be.
sasl.oauthbearer.allow.unverified.audience    boolean   false       -         read-only   M  not_yet:security
    Whether tokens are taken without a check of their audience.
sasl.oauthbearer.allow.unverified.issuer      boolean   false       -         read-only   M  not_yet:security
    Whether tokens are taken without a check of their issuer.
sasl.oauthbearer.assertion.algorithm          string    RS256       ~ES256,RS256  read-only   M  not_yet:security
    The algorithm that assertions are signed with.
sasl.oauthbearer.assertion.claim.aud          string    -           -         read-only   M  not_yet:security
    The audience an assertion names.
sasl.oauthbearer.assertion.claim.exp.seconds  int       300         0..86400  read-only   L  not_yet:security
    How long an assertion is valid.
sasl.oauthbearer.assertion.claim.iss          string    -           -         read-only   M  not_yet:security
    The issuer an assertion names.
sasl.oauthbearer.assertion.claim.jti.include  boolean   false       -         read-only   M  not_yet:security
    Whether an assertion carries an id of its own.
sasl.oauthbearer.assertion.claim.nbf.seconds  int       60          0..3600   read-only   L  not_yet:security
    How long before its making an assertion is already valid.
sasl.oauthbearer.assertion.claim.sub          string    -           -         read-only   M  not_yet:security
    The subject an assertion names.
sasl.oauthbearer.assertion.file               string    -           -         read-only   M  not_yet:security
    A file with a ready-made assertion.
sasl.oauthbearer.assertion.private.key.file   string    -           -         read-only   M  not_yet:security
    The file of the key that assertions are signed with.
sasl.oauthbearer.assertion.private.key.passphrase  password  -           -         read-only   M  not_yet:security
    The password of the key that assertions are signed with.
sasl.oauthbearer.assertion.template.file      string    -           -         read-only   M  not_yet:security
    A file with the fixed parts of an assertion.
sasl.oauthbearer.client.credentials.client.id  string    -           -         read-only   M  not_yet:security
    The client id for the client-credentials grant.
sasl.oauthbearer.client.credentials.client.secret  password  -           -         read-only   M  not_yet:security
    The client secret for the client-credentials grant.
sasl.oauthbearer.clock.skew.seconds           int       30          -         read-only   L  not_yet:security
    How far clocks may differ when tokens are checked.
sasl.oauthbearer.expected.audience            list      ""          -         read-only   H  not_yet:security
    The audiences a token may name.
sasl.oauthbearer.expected.issuer              string    -           -         read-only   H  not_yet:security
    The issuer a token must name.
sasl.oauthbearer.jwks.endpoint.refresh.ms     long      3600000     -         read-only   L  not_yet:security
    How often the issuer's keys are fetched.
sasl.oauthbearer.jwks.endpoint.retry.backoff.ms  long      100         -         read-only   L  not_yet:security
    How long before the issuer's keys are asked for again.
sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms  long      10000       -         read-only   L  not_yet:security
    The ceiling of the wait before the issuer's keys are asked for again.
sasl.oauthbearer.jwks.endpoint.url            string    -           -         read-only   M  not_yet:security
    Where the issuer's keys are.
sasl.oauthbearer.jwt.retriever.class          class     org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever  -         read-only   M  not_yet:security
    The class that gets tokens.
sasl.oauthbearer.jwt.validator.class          class     org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator  -         read-only   M  not_yet:security
    The class that checks tokens.
sasl.oauthbearer.scope                        string    -           -         read-only   M  not_yet:security
    The scope that tokens are asked for.
sasl.oauthbearer.scope.claim.name             string    scope       -         read-only   L  not_yet:security
    Which claim holds the scope.
sasl.oauthbearer.sub.claim.name               string    sub         -         read-only   L  not_yet:security
    Which claim holds the subject.
sasl.oauthbearer.token.endpoint.url           string    -           -         read-only   M  not_yet:security
    Where tokens are given out.
"""
