'use strict'
// Small things that broke other brokers, asked through kafkajs. `cases.js BOOTSTRAP NAME`; exits with 0 if all is well.

const assert = require('assert')
const net = require('net')
const { Kafka, ConfigResourceTypes, logLevel } = require('kafkajs')

const kafka = new Kafka({ clientId: 'penstock-tests', brokers: [process.argv[2]], logLevel: logLevel.NOTHING })

async function withAdmin(body) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    await body(admin)
  } finally {
    await admin.disconnect()
  }
}

const cases = {
  // Create, list, grow, describe, ask for offsets, delete.
  admin: () =>
    withAdmin(async admin => {
      const topic = 'js-admin'
      const config = { topic, numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '3600000' }] }
      assert.equal(await admin.createTopics({ topics: [config] }), true)
      assert.equal(await admin.createTopics({ topics: [config] }), false, 'created twice')
      await admin.createPartitions({ topicPartitions: [{ topic, count: 7 }] })
      assert((await admin.listTopics()).includes(topic))
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      assert.equal(topics[0].partitions.length, 7)
      const { resources } = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] })
      const setting = resources[0].configEntries.find(entry => entry.configName === 'retention.ms')
      assert.equal(setting.configValue, '3600000')
      assert.equal((await admin.describeCluster()).brokers.length, 1)
      const offsets = await admin.fetchTopicOffsets(topic)
      assert.deepEqual(offsets.map(({ low, high }) => [low, high]), new Array(7).fill(['0', '0']))
      await admin.deleteTopics({ topics: [topic] })
      assert(!(await admin.listTopics()).includes(topic))
    }),

  // Acks 0, 1 and all store what they are given, right after the topic was made; offsets by time are exact.
  acks: () =>
    withAdmin(async admin => {
      const topic = 'js-acks'
      await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
      const producer = kafka.producer({ allowAutoTopicCreation: false })
      await producer.connect()
      const start = Date.now() - 100000
      let count = 0
      for (const acks of [0, 1, -1]) {
        const messages = Array.from({ length: 10 }, () => {
          const timestamp = `${start + 10 * count}`
          return { value: `${count++}`, timestamp }
        })
        const answer = await producer.send({ topic, acks, messages })
        // acks=0 has no answer, so wait until it is there.
        for (let tries = 0; tries < 100; tries++) {
          const [{ high }] = await admin.fetchTopicOffsets(topic)
          if (Number(high) === count) break
          await new Promise(resolve => setTimeout(resolve, 50))
        }
        assert.equal((await admin.fetchTopicOffsets(topic))[0].high, `${count}`, `acks=${acks}`)
        if (acks !== 0) assert.equal(answer[0].baseOffset, `${count - 10}`)
      }
      for (let n = 0; n < count; n++) {
        const [{ offset }] = await admin.fetchTopicOffsetsByTimestamp(topic, start + 10 * n - 5)
        assert.equal(offset, `${n}`)
      }
      await producer.disconnect()
    }),

  // Small batches are acknowledged as often behind Nagle's algorithm, as node's sockets are, as without it: counted in turns.
  nagle: () =>
    withAdmin(async admin => {
      const topic = 'js-nagle'
      await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
      const producers = [false, true].map(free => {
        const socketFactory = ({ host, port, onConnect }) => net.connect({ host, port, noDelay: free }, onConnect)
        const brokers = [process.argv[2]]
        return new Kafka({ brokers, socketFactory, logLevel: logLevel.NOTHING }).producer({ maxInFlightRequests: 5 })
      })
      for (const producer of producers) await producer.connect()
      // A busy machine may hold one of them up by itself, but hardly five times.
      let counts = [0, 1]
      for (let turn = 0; turn < 40 && (turn % 8 || counts[0] * 2 < counts[1]); turn++) {
        if (turn % 8 === 0) counts = [0, 0]
        const end = Date.now() + 300
        const one = async () => {
          while (Date.now() < end) {
            await producers[turn % 2].send({ topic, messages: [{ value: 'small' }] })
            counts[turn % 2]++
          }
        }
        await Promise.all(Array.from({ length: 5 }, one))
      }
      for (const producer of producers) await producer.disconnect()
      const said = `${counts[0]} acks with Nagle's algorithm, ${counts[1]} without`
      assert(counts[0] * 2 >= counts[1], said)
    }),
}

cases[process.argv[3]]().catch(error => {
  console.error(error.stack || error)
  process.exit(1)
})
