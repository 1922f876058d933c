import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.crypto.RSASSAVerifier;
import com.nimbusds.jose.jca.JCAContext;
import com.nimbusds.jose.jwk.JWKMatcher;
import com.nimbusds.jose.jwk.JWKSelector;
import com.nimbusds.jose.jwk.OctetKeyPair;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerifierFactory;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.BadJWTException;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.text.ParseException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;

/**
 * Receives security event tokens: verifies each one, drops repeats by `jti`, answers as RFC 8935 has it.
 *
 * <pre>
 * mvn dependency:copy-dependencies -DoutputDirectory=dist
 * JWKS_URL=… ISSUER=… AUDIENCE=… PORT=9000 java -cp 'dist/*' Listener.java
 * </pre>
 *
 * AUDIENCE is the URL of this endpoint as the subscription has it, or several, separated by spaces.
 */
public final class Listener {
  private static final int BODY_MAX_BYTES = 262_144;
  private static final int KEPT_IDS = 100_000;
  private static final int KEYS_TIMEOUT_MS = 5_000;

  /** The default of the library refuses every other type than JWT, so this verifier is needed. */
  private static final DefaultJOSEObjectTypeVerifier<SecurityContext> TYPE =
      new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("secevent+jwt"));

  private static final Set<JWSAlgorithm> ALGORITHMS = Set.of(JWSAlgorithm.RS256, JWSAlgorithm.EdDSA);

  /**
   * Verifies by the key: RS256 by the library, EdDSA by Java itself (15 or newer). For EdDSA the library would need Google Tink, and it
   * makes no Java key of an Ed25519 key.
   */
  private static final class Verifiers implements JWSVerifierFactory {
    private static final byte[] BEFORE_ED25519_KEY = HexFormat.of().parseHex("302a300506032b6570032100"); // RFC 8410, 10.1
    private final JCAContext context = new JCAContext();

    @Override
    public JWSVerifier createJWSVerifier(JWSHeader header, Key key) throws JOSEException {
      return key instanceof RSAPublicKey rsa ? new RSASSAVerifier(rsa) : new Ed25519((PublicKey) key, context);
    }

    @Override
    public Set<JWSAlgorithm> supportedJWSAlgorithms() {
      return ALGORITHMS;
    }

    @Override
    public JCAContext getJCAContext() {
      return context;
    }

    /** The published keys that fit a header: of its id, and of its algorithm. A known id of another algorithm fetches no keys. */
    static List<Key> select(JWKSource<SecurityContext> keys, JWSHeader header) throws KeySourceException {
      var found = new ArrayList<Key>();
      var matcher = new JWKMatcher.Builder().keyID(header.getKeyID()).build();
      for (var jwk : keys.get(new JWKSelector(matcher), null)) {
        if (!header.getAlgorithm().equals(jwk.getAlgorithm())) continue;
        try {
          if (jwk instanceof RSAKey rsa) found.add(rsa.toRSAPublicKey());
          if (jwk instanceof OctetKeyPair pair) found.add(ed25519Key(pair.getDecodedX()));
        } catch (JOSEException | GeneralSecurityException error) {
          throw new KeySourceException(error.getMessage(), error);
        }
      }
      return found;
    }

    private static PublicKey ed25519Key(byte[] x) throws GeneralSecurityException {
      var encoded = new byte[BEFORE_ED25519_KEY.length + x.length];
      System.arraycopy(BEFORE_ED25519_KEY, 0, encoded, 0, BEFORE_ED25519_KEY.length);
      System.arraycopy(x, 0, encoded, BEFORE_ED25519_KEY.length, x.length);
      return KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(encoded));
    }
  }

  private record Ed25519(PublicKey key, JCAContext context) implements JWSVerifier {
    @Override
    public boolean verify(JWSHeader header, byte[] input, Base64URL signature) throws JOSEException {
      try {
        var verifier = Signature.getInstance("Ed25519");
        verifier.initVerify(key);
        verifier.update(input);
        return verifier.verify(signature.decode());
      } catch (GeneralSecurityException error) {
        return false; // a signature of another length
      }
    }

    @Override
    public Set<JWSAlgorithm> supportedJWSAlgorithms() {
      return Set.of(JWSAlgorithm.EdDSA);
    }

    @Override
    public JCAContext getJCAContext() {
      return context;
    }
  }

  /** The token is not acceptable (RFC 8935, section 2.4). */
  private static final class Refusal extends Exception {
    final String code;
    final int status;

    Refusal(int status, String code, String description) {
      super(description);
      this.status = status;
      this.code = code;
    }

    Refusal(String code, String description) {
      this(400, code, description);
    }
  }

  /** Whether the token is acceptable is unknown: it must come again. */
  private static final class Later extends Exception {
    Later(String message) {
      super(message);
    }
  }

  private final String issuer;
  private final Set<String> audiences;
  private final DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();

  /** Ids of events that were taken. In production: a table with a unique index, which outlives a restart. */
  private final Set<String> taken =
      Collections.newSetFromMap(
          new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
              return size() > KEPT_IDS;
            }
          });

  private final Set<String> taking = new HashSet<>();

  /** @param jwksUrl from the configuration, never from a token's `jku` */
  private Listener(String jwksUrl, String issuer, Set<String> audiences) throws IOException {
    this.issuer = issuer;
    this.audiences = audiences;
    // Keeps the keys for five minutes, and asks again for an unknown key, at most twice in 30 seconds.
    // The library waits half a second for the keys, unless it is given a retriever.
    var retriever = new DefaultResourceRetriever(KEYS_TIMEOUT_MS, KEYS_TIMEOUT_MS, 1 << 20);
    var keys = JWKSourceBuilder.<SecurityContext>create(URI.create(jwksUrl).toURL(), retriever).build();
    processor.setJWSTypeVerifier(TYPE);
    processor.setJWSKeySelector((header, context) -> Verifiers.select(keys, header));
    processor.setJWSVerifierFactory(new Verifiers());
    processor.setJWTClaimsSetVerifier(new DefaultJWTClaimsVerifier<>(null, Set.of("jti", "iat", "events")));
  }

  private JWTClaimsSet verify(String token) throws Refusal, Later {
    try {
      var signed = SignedJWT.parse(token.strip());
      TYPE.verify(signed.getHeader().getType(), null); // before the keys are asked for, so that the code is right
      if (!ALGORITHMS.contains(signed.getHeader().getAlgorithm())) {
        throw new Refusal("invalid_request", "the algorithm must be RS256 or EdDSA");
      }
      return check(signed);
    } catch (ParseException | BadJOSEException | IllegalArgumentException error) {
      throw new Refusal("invalid_request", error.getMessage());
    }
  }

  private JWTClaimsSet check(SignedJWT signed) throws Refusal, Later, ParseException {
    JWTClaimsSet claims;
    try {
      claims = processor.process(signed, null);
    } catch (KeySourceException error) {
      throw new Later("the keys cannot be fetched: " + error.getMessage());
    } catch (BadJWTException error) {
      throw new Refusal("invalid_request", error.getMessage());
    } catch (BadJOSEException | JOSEException error) {
      throw new Refusal("invalid_key", error.getMessage());
    }
    if (!issuer.equals(claims.getIssuer())) {
      throw new Refusal("invalid_issuer", "the issuer is another");
    }
    if (Collections.disjoint(audiences, claims.getAudience())) {
      throw new Refusal("invalid_audience", "the token is for another endpoint");
    }
    if (claims.getJWTID().isEmpty() || claims.getJSONObjectClaim("events") == null) {
      throw new Refusal("invalid_request", "\"jti\" must not be empty and \"events\" must be an object");
    }
    return claims;
  }

  /** Does the work once for each id. Counts the event as taken only after that: if the work fails, it must come again. */
  private void once(String jti, Runnable work) throws Later {
    synchronized (taken) {
      if (taken.contains(jti)) return;
      if (!taking.add(jti)) throw new Later("a copy of the event is being taken");
    }
    try {
      work.run();
      synchronized (taken) {
        taken.add(jti);
      }
    } finally {
      synchronized (taken) {
        taking.remove(jti);
      }
    }
  }

  /** Your work: store the event, or put it on a queue. Keep it short: the service waits 10 s for the answer. */
  private static void take(JWTClaimsSet claims) {
    System.out.println("verified " + claims.getJWTID());
  }

  private void handle(HttpExchange exchange) throws IOException {
    try (exchange) {
      try {
        var claims = verify(read(exchange));
        once(claims.getJWTID(), () -> take(claims));
        exchange.sendResponseHeaders(202, -1);
      } catch (Refusal refusal) {
        var headers = exchange.getResponseHeaders();
        headers.set("Content-Type", "application/json");
        headers.set("Content-Language", "en");
        if (refusal.status == 405) headers.set("Allow", "POST");
        var error = Map.<String, Object>of("err", refusal.code, "description", String.valueOf(refusal.getMessage()));
        var body = JSONObjectUtils.toJSONString(error).getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(refusal.status, body.length);
        exchange.getResponseBody().write(body);
      } catch (Later error) {
        System.err.println(error.getMessage());
        exchange.getResponseHeaders().set("Retry-After", "10");
        exchange.sendResponseHeaders(503, -1);
      } catch (RuntimeException error) { // the work failed: the service sends the event again
        System.err.println(error);
        exchange.sendResponseHeaders(500, -1);
      }
    }
  }

  private static String read(HttpExchange exchange) throws IOException, Refusal {
    if (!exchange.getRequestMethod().equals("POST")) {
      throw new Refusal(405, "invalid_request", "the method must be POST");
    }
    var type = String.valueOf(exchange.getRequestHeaders().getFirst("Content-Type"));
    if (!type.split(";", 2)[0].strip().equalsIgnoreCase("application/secevent+jwt")) {
      throw new Refusal(415, "invalid_request", "the media type must be application/secevent+jwt");
    }
    var body = exchange.getRequestBody().readNBytes(BODY_MAX_BYTES + 1);
    if (body.length > BODY_MAX_BYTES) {
      throw new Refusal(413, "invalid_request", "the body has more than " + BODY_MAX_BYTES + " bytes");
    }
    return new String(body, StandardCharsets.UTF_8);
  }

  private static String setting(String name) {
    var value = System.getenv(name);
    if (value == null || value.isBlank()) throw new IllegalArgumentException(name + " must be set");
    return value;
  }

  public static void main(String[] arguments) throws IOException {
    var audiences = Set.of(setting("AUDIENCE").strip().split("\\s+"));
    var listener = new Listener(setting("JWKS_URL"), setting("ISSUER"), audiences);
    var port = Integer.parseInt(System.getenv().getOrDefault("PORT", "9000"));
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.createContext("/", listener::handle);
    server.setExecutor(Executors.newFixedThreadPool(16));
    server.start();
    System.out.println("listening on http://127.0.0.1:" + server.getAddress().getPort());
  }
}
