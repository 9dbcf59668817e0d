// Prints what Apache Kafka's own ConfigHelper answers to DescribeConfigs, without a running broker, as described.json has it:
// for each resource [name, value, source, read-only, sensitive, type, [[synonym, value, source]...]].
// The settings are those of test_config_describe.py. How to run it: see Dump.java.
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.*;
import kafka.server.ConfigHelper;
import kafka.server.KafkaConfig;
import org.apache.kafka.common.message.DescribeConfigsRequestData;
import org.apache.kafka.metadata.ConfigRepository;
import org.apache.kafka.metadata.MetadataCache;

public class Describe {
  static final String SETTINGS =
      "process.roles=broker,controller;node.id=1;controller.quorum.bootstrap.servers=127.0.0.1:19121;"
          + "controller.listener.names=CONTROLLER;listeners=PLAINTEXT://127.0.0.1:19120,CONTROLLER://127.0.0.1:19121;"
          + "advertised.listeners=PLAINTEXT://127.0.0.1:19120,CONTROLLER://127.0.0.1:19121;"
          + "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT;log.dirs=/tmp/x;num.partitions=4;"
          + "log.retention.hours=48;message.max.bytes=2000000;offsets.topic.replication.factor=1";

  static Properties properties(String... pairs) {
    Properties made = new Properties();
    for (int i = 0; i < pairs.length; i += 2) made.setProperty(pairs[i], pairs[i + 1]);
    return made;
  }

  static <T> T fake(Class<T> type, InvocationHandler handler) {
    return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler));
  }

  public static void main(String[] args) {
    Map<String, String> settings = new HashMap<>();
    for (String each : SETTINGS.split(";")) settings.put(each.substring(0, each.indexOf('=')), each.substring(each.indexOf('=') + 1));
    KafkaConfig config = new KafkaConfig(settings);
    config.dynamicConfig().initialize(scala.Option.empty());
    config.dynamicConfig().updateDefaultConfig(properties("log.retention.ms", "7200000", "max.connections", "77"), true);
    config.dynamicConfig().updateBrokerConfig(1, properties("max.connections", "88", "log.segment.bytes", "2097152"), true);
    Properties topic = properties("retention.bytes", "1234567", "compression.type", "gzip");
    Properties group = properties("consumer.session.timeout.ms", "46000");
    ConfigHelper helper = new ConfigHelper(
        fake(MetadataCache.class, (o, method, a) -> method.getName().equals("contains") ? true : null),
        config,
        fake(ConfigRepository.class, (o, method, a) -> switch (method.getName()) {
          case "topicConfig" -> topic;
          case "groupConfig" -> group;
          default -> new Properties();
        }));
    List<String> parts = new ArrayList<>();
    Object[][] resources = {{"topic", 2, "t"}, {"broker", 4, "1"}, {"cluster", 4, ""}, {"group", 32, "g"}};
    for (Object[] resource : resources) {
      var asked = new DescribeConfigsRequestData.DescribeConfigsResource()
          .setResourceType(((Integer) resource[1]).byteValue()).setResourceName((String) resource[2]);
      var answer = helper.describeConfigs(scala.jdk.javaapi.CollectionConverters.asScala(List.of(asked)).toList(), true, false).head();
      TreeMap<String, String> rows = new TreeMap<>();
      for (var entry : answer.configs()) {
        List<Object> synonyms = new ArrayList<>();
        for (var each : entry.synonyms()) synonyms.add(Arrays.asList(each.name(), each.value(), each.source()));
        rows.put(entry.name(), Dump.json(Arrays.asList(entry.name(), entry.value(), entry.configSource(), entry.readOnly(),
            entry.isSensitive(), entry.configType(), synonyms)));
      }
      parts.add(Dump.json(resource[0]) + ": [\n" + String.join(",\n", rows.values()) + "\n]");
    }
    System.out.println("{\n" + String.join(",\n", parts) + "\n}");
    System.exit(0);
  }
}
