'use strict'
// kafkajs as its users write it: `write`, `read`, `consume`. Node finds the modules by NODE_PATH.
//
// `read` needs a word: kafkajs' consumer cannot be given partitions, it always joins a group. Without groups, its own
// cluster and broker classes are asked directly for what its consumer asks them for: the bytes on the wire, their
// decoding and the codecs are kafkajs' own.

const path = require('path')
const { parseArgs } = require('util')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const { content, TopicCheck } = require('./content')

const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ['bootstrap', 'topics', 'partitions', 'codec', 'first', 'end', 'records', 'shape', 'layout'].map(name => [
      name,
      { type: 'string' },
    ])
  ),
})
const topics = options.topics.split(',')
const partitions = Number(options.partitions)
const kafka = new Kafka({ clientId: 'penstock-tests', brokers: [options.bootstrap], logLevel: logLevel.WARN })

async function codecs() {
  CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
  CompressionCodecs[CompressionTypes.LZ4] = new (require('@2l/kafkajs-lz4'))().codec
  const zstd = await new Promise(resolve => require('zstd-codec').ZstdCodec.run(resolve))
  const { decompress } = require('fzstd')
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async encoder => Buffer.from(new zstd.Simple().compress(encoder.buffer, 3)),
    decompress: async buffer => Buffer.from(decompress(buffer)),
  })
}

const COMPRESSION = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

// Records first to end of each topic, record n into partition n % partitions.
async function write() {
  if (options.first === '0') {
    const admin = kafka.admin()
    await admin.connect()
    await admin.createTopics({ topics: topics.map(topic => ({ topic, numPartitions: partitions })) })
    await admin.disconnect()
  }
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const end = Number(options.end)
  const step = 5000
  for (let first = Number(options.first); first < end; first += step) {
    const messages = []
    for (let n = first; n < Math.min(first + step, end); n++) {
      messages.push({ partition: n % partitions, ...content('no-null-header', n) })
    }
    await producer.sendBatch({
      compression: COMPRESSION[options.codec],
      topicMessages: topics.map(topic => ({ topic, messages })),
    })
  }
  await producer.disconnect()
}

// Every record of each topic, from its first offset to its last.
async function read() {
  const source = path.join(path.dirname(require.resolve('kafkajs')), 'src')
  const Cluster = require(path.join(source, 'cluster'))
  const { createLogger } = require(path.join(source, 'loggers'))
  const cluster = new Cluster({
    logger: createLogger({ level: logLevel.WARN, logCreator: require(path.join(source, 'loggers/console')) }),
    socketFactory: require(path.join(source, 'network/socketFactory'))(),
    brokers: [options.bootstrap],
    clientId: 'penstock-tests',
    connectionTimeout: 5000,
    metadataMaxAge: 300000,
    retry: { retries: 5 },
    allowAutoTopicCreation: false,
  })
  await cluster.connect()
  await cluster.addMultipleTargetTopics(topics)
  const checks = Object.fromEntries(
    topics.map(topic => [topic, new TopicCheck(options.shape, options.layout, partitions, Number(options.records))])
  )
  const left = () => topics.filter(topic => checks[topic].count < checks[topic].records)
  let idle = 0
  while (left().length > 0) {
    const before = topics.reduce((sum, topic) => sum + checks[topic].count, 0)
    for (const [nodeId, wants] of Object.entries(leaders(cluster, left(), checks))) {
      const broker = await cluster.findBroker({ nodeId })
      const { responses } = await broker.fetch({
        replicaId: -1,
        isolationLevel: 0,
        maxWaitTime: 1000,
        minBytes: 1,
        maxBytes: 10 * 1024 * 1024,
        topics: wants,
      })
      for (const { topicName, partitions: parts } of responses) {
        for (const { partition, messages } of parts) {
          const check = checks[topicName]
          // A fetch from the middle of a batch begins at the batch; kafkajs' consumer leaves out the same ones.
          const next = check.next[partition]
          messages.filter(m => Number(m.offset) >= next).forEach(message => check.add(partition, message))
        }
      }
    }
    const after = topics.reduce((sum, topic) => sum + checks[topic].count, 0)
    idle = after === before ? idle + 1 : 0
    if (idle === 20) throw new Error(`nothing more to read at ${after} records`)
  }
  await cluster.disconnect()
}

// What to fetch, by the broker that leads it.
function leaders(cluster, names, checks) {
  const wants = {}
  for (const topic of names) {
    const all = checks[topic].next.map((_, partition) => partition)
    for (const [nodeId, ids] of Object.entries(cluster.findLeaderForPartitions(topic, all))) {
      wants[nodeId] = wants[nodeId] || []
      const partitions = ids.map(partition => ({
        partition,
        fetchOffset: checks[topic].next[partition].toString(),
        maxBytes: 1024 * 1024,
      }))
      wants[nodeId].push({ topic, partitions })
    }
  }
  return wants
}

// Its public consumer, which joins a group.
async function consume() {
  const consumer = kafka.consumer({ groupId: 'penstock-tests', retry: { retries: 2 } })
  await consumer.connect()
  await consumer.subscribe({ topics, fromBeginning: true })
  let count = 0
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    consumer
      .run({
        eachMessage: async () => {
          count++
          if (count === Number(options.records)) resolve()
        },
      })
      .catch(reject)
  })
  await consumer.disconnect()
}

codecs()
  .then({ write, read, consume }[positionals[0]])
  .catch(error => {
    console.error(error.stack || error)
    process.exit(1)
  })
