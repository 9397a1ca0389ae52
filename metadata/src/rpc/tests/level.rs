//! The feature level is raised for all or for nobody.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_level_is_raised_once_every_agent_can_read_it() {
    use crate::WRITER_LEVEL;
    let (_memory, _net, _first, a, _b) = two_agents(Travel::Links).await;
    assert_eq!(
        a.metadata.raise_feature_level(None).await.unwrap(),
        WRITER_LEVEL
    );
    let refused = a.metadata.raise_feature_level(Some(WRITER_LEVEL + 1)).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("cannot read that level"), "{text}");
    a.metadata.release_hold().await.unwrap();
}
