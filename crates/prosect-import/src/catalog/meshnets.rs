//! brainchop's `MeshNet`s: which files each is made of, and where they are published, at one commit
//! whose bytes are known (github.com/neuroneural/brainchop, MIT).

/// The files' folder; behind it come a model's own folder and file.
const PLACE: &str = "https://raw.githubusercontent.com/neuroneural/brainchop/4c87885f3a2a8835e260d521dcec922b58d91d41/public/models";
/// Licence of code and weights, as the publisher's LICENSE says.
pub const MESHNET_LICENSE: &str = "MIT";

/// One of brainchop's models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeshNet {
    /// The model's name here.
    pub name: &'static str,
    /// The publisher's folder.
    pub folder: &'static str,
    /// What it finds, in words.
    pub says: &'static str,
    /// Description, weights, and names of the classes where there are any.
    pub files: &'static [MeshNetFile],
}

/// One file of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeshNetFile {
    /// Its name within the folder.
    pub name: &'static str,
    /// SHA-256 of the file as published, lower-case hexadecimal.
    pub sha256: &'static str,
}

impl MeshNet {
    /// The publisher's address of a file.
    pub fn url(&self, file: &MeshNetFile) -> String {
        format!("{PLACE}/{}/{}", self.folder, file.name)
    }
}

/// Every model that can be installed.
pub fn meshnets() -> &'static [MeshNet] {
    ALL
}

/// The model of this name.
pub fn find_meshnet(name: &str) -> Option<&'static MeshNet> {
    ALL.iter().find(|model| model.name == name)
}

const fn file(name: &'static str, sha256: &'static str) -> MeshNetFile {
    MeshNetFile { name, sha256 }
}

const ALL: &[MeshNet] = &[
    MeshNet {
        name: "meshnet-tissue-light",
        folder: "model5_gw_ae",
        says: "white and grey matter, light",
        files: &[
            file(
                "model.json",
                "7aabd59933bd3528f120107165f5dd577c5b749cf91fc2f949987d7bc620ce59",
            ),
            file(
                "group1-shard1of1.bin",
                "ca0d1b8ff72f8719d9525acaf9a1f1cb66dbb173b4ee1d7540f99e022cf4bfd8",
            ),
            file(
                "colormap3.json",
                "71f3ce5c5d9d0db1208937f55fa35b9970ce63c1a24753cf74c471fe9a3c27eb",
            ),
        ],
    },
    MeshNet {
        name: "meshnet-tissue-11",
        folder: "model11_gw_ae",
        says: "white and grey matter",
        files: &[
            file(
                "model.json",
                "09d1afa152a907a545ce814842613559fbfe2bfdaab0bc8708ea79cd3e17229c",
            ),
            file(
                "group1-shard1of1.bin",
                "7f93edb82252cdc59e3faf3ae5a27622bc748d02db64df2cf429ad807891c261",
            ),
        ],
    },
    MeshNet {
        name: "meshnet-tissue",
        folder: "model20chan3cls",
        says: "white and grey matter",
        files: &[
            file(
                "model.json",
                "53932edad5330073bbac906049a31b84a2ca3d8c65d658feea848130004b984b",
            ),
            file(
                "model.bin",
                "aecc03e3db596bfffab0ea1143f0848dbf4da4e317e04ef202986c6888cd467f",
            ),
            file(
                "colormap.json",
                "71f3ce5c5d9d0db1208937f55fa35b9970ce63c1a24753cf74c471fe9a3c27eb",
            ),
        ],
    },
    MeshNet {
        name: "meshnet-subcortical-light",
        folder: "model18cls",
        says: "17 subcortical structures and tissues, light",
        files: &[
            file(
                "model.json",
                "57346ac8b66ebe8d92296b1cf9988143be4949b6ef9695a790ef3d7fba3fb81b",
            ),
            file(
                "model.bin",
                "725096439f64ece1ca45ec3c5115c9fa6004f6538cac3032b85966d3772b605e",
            ),
            file(
                "colormap.json",
                "10ebff5980dd2afe1a1407dd951d1258dfc95fec51641bab9b4a9b88d76808c5",
            ),
        ],
    },
    MeshNet {
        name: "meshnet-subcortical",
        folder: "model30chan18cls",
        says: "17 subcortical structures and tissues",
        files: &[
            file(
                "model.json",
                "d28521c0965e452c371314e4b5b4dcef7b19aa91241b17ef894ac24952139701",
            ),
            file(
                "model.bin",
                "7039651d91c4cee0b7b1ddfe93fe2f5cb9b71d99f5a126fdef407e2a36bb52d4",
            ),
            file(
                "colormap.json",
                "10ebff5980dd2afe1a1407dd951d1258dfc95fec51641bab9b4a9b88d76808c5",
            ),
        ],
    },
    MeshNet {
        name: "meshnet-aparc-aseg-50",
        folder: "model30chan50cls",
        says: "49 cortical areas and subcortical structures",
        files: &[
            file(
                "model.json",
                "105db3a77c49fb3e7d59c6e9506981e13223b76dcd4c4b407640d422409e5353",
            ),
            file(
                "model.bin",
                "a7e597568dc7750c64cce8c64c4ca3ec7215716949efd741f19904da1baffa81",
            ),
            file(
                "colormap.json",
                "3895b0c40b1ef299bda68ac79bce6f1bbbb6e28d9dd990ef121402c08bc34645",
            ),
        ],
    },
    MeshNet {
        name: "meshnet-aparc-aseg-104",
        folder: "model21_104class",
        says: "103 cortical areas and subcortical structures",
        files: &[
            file(
                "model.json",
                "b80a9ac7dccaecc08d59a7f2285a1dce50305d317f505b437518773ab2b27446",
            ),
            file(
                "group1-shard1of1.bin",
                "8a0aa1e2d94e5edc94c54aed900da978d2a1388bee4621cee05e473db64b84af",
            ),
            file(
                "colormap.json",
                "a450db760609a91a38b3ff1810a465841c39b1ff138cab005071c897ad0da069",
            ),
        ],
    },
    MeshNet {
        name: "meshnet-brain",
        folder: "mindgrab",
        says: "the brain",
        files: &[
            file(
                "model.json",
                "24d1bcccba736a83c80b336ca349297f4839ae08b8ec92ec72c5d6adb9afe76e",
            ),
            file(
                "model.bin",
                "c9a01490fe2d13acc1515fd019b69db176ebe6f40c9b84aeb77f25acbc2ee0f3",
            ),
            file(
                "colormap.json",
                "b29809105747c752c889036bb953744cbd63b67f25b9c1b0657eaf00841fd1bf",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::meshnets;
    use crate::catalog;
    use crate::tfjs::known;

    #[test]
    fn every_model_has_the_weights_that_bear_its_name() {
        for model in meshnets() {
            let named = model.files.iter().filter_map(|f| known::find(f.sha256));
            let names: Vec<_> = named.filter_map(|settings| settings.name).collect();
            assert_eq!(names, [model.name]);
            assert!(catalog::find(model.name).is_none(), "two of a name");
            for file in model.files {
                let url = model.url(file);
                assert!(url.ends_with(&format!("/{}/{}", model.folder, file.name)));
            }
        }
    }
}
