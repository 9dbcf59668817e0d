// java Stalls.java BOOTSTRAP TOPIC PARTITIONS RATE: what stalls.py measures, with Kafka's own client and its default settings.
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

public class Stalls {
    static final long LAST_NANOS = 40_000_000_000L;

    /** The longest time between two things of one partition. */
    static class Gaps {
        final long[] last;
        long longest;

        Gaps(int partitions) {
            last = new long[partitions];
        }

        synchronized void start() {
            long now = System.nanoTime();
            java.util.Arrays.fill(last, now);
            longest = 0;
        }

        synchronized void seen(int partition) {
            long now = System.nanoTime();
            if (last[partition] != 0) longest = Math.max(longest, now - last[partition]);
            last[partition] = now;
        }

        synchronized double end() {
            for (int p = 0; p < last.length; p++) seen(p);
            return longest / 1e9;
        }

        synchronized boolean flows() {
            for (long l : last) if (l == 0) return false;
            return true;
        }
    }

    static volatile boolean producing = true;
    static volatile boolean consuming = true;

    public static void main(String[] args) throws Exception {
        String topic = args[1];
        int partitions = Integer.parseInt(args[2]);
        double rate = Double.parseDouble(args[3]);
        Gaps acks = new Gaps(partitions);
        Gaps arrivals = new Gaps(partitions);
        Set<Long> acknowledged = ConcurrentHashMap.newKeySet();
        Set<Long> received = ConcurrentHashMap.newKeySet();
        AtomicLong errors = new AtomicLong();
        AtomicLong sent = new AtomicLong();

        Properties forConsumer = new Properties();
        forConsumer.put("bootstrap.servers", args[0]);
        forConsumer.put("group.id", UUID.randomUUID().toString());
        forConsumer.put("auto.offset.reset", "earliest");
        forConsumer.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        forConsumer.put("value.deserializer", "org.apache.kafka.common.serialization.LongDeserializer");
        Thread consumer = new Thread(() -> {
            try (KafkaConsumer<byte[], Long> c = new KafkaConsumer<>(forConsumer)) {
                c.subscribe(List.of(topic));
                while (consuming) {
                    for (ConsumerRecord<byte[], Long> r : c.poll(Duration.ofMillis(50))) {
                        arrivals.seen(r.partition());
                        received.add(r.value());
                    }
                }
            }
        });
        consumer.start();

        Properties forProducer = new Properties();
        forProducer.put("bootstrap.servers", args[0]);
        forProducer.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        forProducer.put("value.serializer", "org.apache.kafka.common.serialization.LongSerializer");
        KafkaProducer<byte[], Long> p = new KafkaProducer<>(forProducer);
        Thread producer = new Thread(() -> {
            long began = System.nanoTime();
            while (producing) {
                while (sent.get() < (System.nanoTime() - began) / 1e9 * rate) {
                    long value = sent.getAndIncrement();
                    int partition = (int) (value % partitions);
                    p.send(new ProducerRecord<>(topic, partition, null, value), (metadata, error) -> {
                        if (error != null) {
                            errors.incrementAndGet();
                        } else {
                            acks.seen(partition);
                            acknowledged.add(value);
                        }
                    });
                }
                try {
                    Thread.sleep(2);
                } catch (InterruptedException e) {
                    return;
                }
            }
        });
        producer.start();

        while (!acks.flows() || !arrivals.flows()) Thread.sleep(50);
        Thread.sleep(1000);
        acks.start();
        arrivals.start();
        System.out.println("ready");
        while (System.in.read() >= 0) {}
        double consumerStall = arrivals.end();
        producing = false;
        producer.join();
        double producerStall = acks.end();
        p.flush();
        long deadline = System.nanoTime() + LAST_NANOS;
        while (!received.containsAll(acknowledged) && System.nanoTime() < deadline) Thread.sleep(50);
        consuming = false;
        consumer.join();
        p.close();
        long lost = acknowledged.stream().filter(v -> !received.contains(v)).count();
        System.out.printf(
            java.util.Locale.ROOT,
            "{\"stall_s\": %.6f, \"producer_stall_s\": %.6f, \"consumer_stall_s\": %.6f, \"errors\": %d, \"lost\": %d, \"records\": %d}%n",
            Math.max(producerStall, consumerStall), producerStall, consumerStall, errors.get(), lost, sent.get());
    }
}
