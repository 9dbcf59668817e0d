// Prints the configuration keys of Apache Kafka, without their prose, as keys.json has them:
// [scope, name, type, default, valid, update mode, importance, internal, synonyms].
//
//   javac -cp CLASSPATH -d OUT *.java && java -cp OUT:CLASSPATH Dump > keys.json && java -cp OUT:CLASSPATH Describe > described.json
//
// with the class path of org.apache.kafka:kafka_2.13 as Maven resolves it (without kafka-tools, which 4.4.0 does not publish).
import java.util.*;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.coordinator.group.GroupConfig;
import org.apache.kafka.server.config.*;
import org.apache.kafka.server.metrics.ClientMetricsConfigs;
import org.apache.kafka.storage.internals.log.LogConfig;

public class Dump {
  static final List<String> rows = new ArrayList<>();

  static String json(Object value) {
    if (value == null || value instanceof Boolean || value instanceof Number) return String.valueOf(value);
    if (value instanceof List<?> list) {
      StringJoiner joined = new StringJoiner(", ", "[", "]");
      for (Object each : list) joined.add(json(each));
      return joined.toString();
    }
    return '"' + value.toString().replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  static List<String> synonyms(String scope, String name) {
    List<String> found = new ArrayList<>();
    if (scope.equals("topic")) {
      var all = ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.get(name);
      if (all != null) for (ConfigSynonym each : all) found.add(each.name());
    } else if (scope.equals("group")) {
      GroupConfig.brokerSynonym(name).ifPresent(found::add);
    } else if (scope.equals("broker")) {
      found.addAll(DynamicBrokerConfig.brokerConfigSynonyms(name, true));
    }
    return found;
  }

  static void add(String scope, ConfigDef definition) {
    Map<String, String> modes = DynamicBrokerConfig.dynamicConfigUpdateModes();
    for (ConfigDef.ConfigKey key : new TreeMap<>(definition.configKeys()).values()) {
      boolean none = key.defaultValue == null || key.defaultValue == ConfigDef.NO_DEFAULT_VALUE;
      rows.add(json(Arrays.asList(
          scope,
          key.name,
          key.type.toString().toLowerCase(),
          none ? null : ConfigDef.convertToString(key.defaultValue, key.type),
          key.validator == null ? null : key.validator.toString(),
          scope.equals("broker") ? modes.getOrDefault(key.name, "read-only") : null,
          key.importance.toString().substring(0, 1),
          key.internalConfig,
          synonyms(scope, key.name))));
    }
  }

  public static void main(String[] args) {
    add("broker", AbstractKafkaConfig.CONFIG_DEF);
    add("topic", LogConfig.configDefCopy());
    add("group", GroupConfig.CONFIG_DEF);
    add("client-metrics", ClientMetricsConfigs.configDef());
    System.out.println("[\n" + String.join(",\n", rows) + "\n]");
  }
}
