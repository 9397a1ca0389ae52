//! Last rows that are damaged or lost: what can be found is right, what comes next is found, and nothing is written over.

use super::*;

/// The row of each level that the next append would go on from.
async fn last_rows(kv: &Memory, start: Offset) -> Vec<Bytes> {
    let rows = read_tail(kv, PLACE, start).await.unwrap().unwrap();
    let keys = std::iter::once(rows.chunk).chain(rows.summaries);
    keys.flatten().map(|(key, _)| key).collect()
}

async fn append_all(kv: &Memory, extents: &[Extent]) -> bool {
    let start = extents[0].base_offset;
    let tail = read_tail(kv, PLACE, start).await.unwrap();
    let mut writes = Transaction::default();
    let appended = append(PLACE, Offset(0), tail.clone(), extents, &mut writes);
    let joins = appended.is_ok();
    let next = appended.unwrap_or_else(|_| {
        assert!(writes.writes.is_empty());
        append_beside(PLACE, tail, extents, &mut writes)
    });
    kv.commit(writes).await.unwrap();
    let end = extents.last().unwrap().end_offset();
    assert_eq!(next, read_tail(kv, PLACE, end).await.unwrap());
    joins
}

/// From `start` on everything is found; before it, what is right or damage.
async fn check(kv: &Memory, extents: &[Extent], start: Offset) {
    let (lookup, until) = (Lookup::new(kv, PLACE), extents.last().unwrap().end_offset());
    let since = extents.partition_point(|extent| extent.base_offset < start);
    let some = (0..since).step_by(since / 50 + 1);
    for at in some.chain(since.saturating_sub(3)..extents.len()) {
        let extent = &extents[at];
        let from = extent.base_offset;
        let found = match lookup.chunks(from, 1).await {
            Ok(chunks) => chunks.into_iter().flat_map(|chunk| chunk.extents).collect(),
            Err(Error::Damaged(_)) => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        let holds = |it: &&Extent| it.base_offset <= from && it.end_offset() > from;
        let found = found.iter().find(holds);
        assert!(
            found == Some(extent) || (at < since && found.is_none()),
            "{at}"
        );
        let time = extent.max_timestamp;
        for from in [Offset(0), start] {
            let expected = extents
                .iter()
                .find(|it| it.base_offset >= from && it.max_timestamp >= time);
            match lookup.at_or_after(from, until, time).await {
                Ok(found) => assert_eq!(found.as_ref(), expected, "{at} {from:?}"),
                Err(Error::Damaged(_)) => assert!(from < start, "{at}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let expected = largest(&extents[since..]);
    assert_eq!(lookup.largest(start, until).await.unwrap(), expected);
}

#[tokio::test]
async fn an_index_goes_on_beside_rows_that_are_damaged_or_lost() {
    for (count, again) in [
        (20, 0),
        (20, 5),
        (2_000, 0),
        (2_000, 700),
        (90_000, 0),
        (90_000, 3_000),
    ] {
        let mut world = World::new();
        for _ in 0..count / 10_000 {
            world.append(10_000, 0).await;
        }
        world.append(count % 10_000, 0).await;
        // As if a checkpoint had been cut short: memory begins before rows end.
        let at = world.extents.len() - again;
        let start = world
            .extents
            .get(at)
            .map_or(world.end(), |extent| extent.base_offset);
        let keys = last_rows(&world.kv, start).await;
        assert!(!keys.is_empty());
        for (key, damage) in keys
            .iter()
            .flat_map(|key| [(key, None), (key, Some("damaged"))])
        {
            let kv = world.kv.copy();
            let mut change = Transaction::default();
            let damage = damage.map(Bytes::from);
            match &damage {
                Some(row) => change.set(key.clone(), row.clone()),
                None => change.clear(key.clone()),
            };
            kv.commit(change).await.unwrap();
            let mut extents = world.extents.clone();
            let mut number = count;
            let mut more = |extents: &mut Vec<Extent>, count| {
                let end = extents.last().unwrap().end_offset();
                extents.extend(run(count, number, end));
                number += count;
            };
            more(&mut extents, 30);
            let joined = append_all(&kv, &extents[at..]).await;
            check(&kv, &extents, start).await;
            // And from there on as ever.
            for count in [1, 2_000] {
                let from = extents.len();
                more(&mut extents, count);
                assert!(append_all(&kv, &extents[from..]).await);
                check(&kv, &extents, start).await;
            }
            let rows = kv.snapshot();
            assert!(damage.is_none() || rows.values().any(|row| Some(row) == damage.as_ref()));
            assert!(!joined || again > 0, "{count}");
        }
    }
}
