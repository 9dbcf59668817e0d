// A member of a group: GroupMember BOOTSTRAP GROUP PROTOCOL SUBSCRIPTION, where a subscription with a star is a regular expression (RE2).
// Prints `+ topic-partition ...` and `- topic-partition ...` as they are assigned and taken, and `= value` for each record; SIGTERM makes it leave.

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

public final class GroupMember {
    static void say(String sign, Collection<TopicPartition> partitions) {
        System.out.println(sign + " " + partitions.stream().map(TopicPartition::toString).sorted().collect(Collectors.joining(" ")));
        System.out.flush();
    }

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[1]);
        settings.put("group.protocol", arguments[2]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("auto.commit.interval.ms", "300");
        settings.put("metadata.max.age.ms", "1000");
        if (arguments[2].equals("classic")) {
            settings.put("session.timeout.ms", "6000");
            settings.put("heartbeat.interval.ms", "300");
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        }
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                main.join(5000);
            } catch (InterruptedException ignored) {
                // it goes anyway
            }
        }));
        ConsumerRebalanceListener listener = new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                say("+", partitions);
            }

            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                say("-", partitions);
            }
        };
        if (arguments[3].contains("*")) {
            consumer.subscribe(new SubscriptionPattern(arguments[3]), listener);
        } else {
            consumer.subscribe(List.of(arguments[3].split(",")), listener);
        }
        try {
            while (true) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    System.out.println("= " + record.value());
                }
                System.out.flush();
            }
        } catch (WakeupException stopped) {
            consumer.close();
        }
    }
}
